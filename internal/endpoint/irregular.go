package endpoint

// fixedAfter lists, by product, the fixed words of a path that follow another fixed
// word directly: in /SIP/Domains/{Sid} "Domains" is no identifier. The table was derived from
// Twilio's OpenAPI documents (github.com/twilio/twilio-oai). A test of package pacer checks
// all of their operations against it.
var fixedAfter = map[string]map[string][]string{
	"accounts": {
		"AuthTokens":  {"Promote", "Secondary"},
		"Consents":    {"Bulk"},
		"Contacts":    {"Bulk"},
		"Credentials": {"AWS", "PublicKeys"},
		"Messaging":   {"GeoPermissions"},
		"SafeList":    {"Numbers"},
	},
	"api": {
		"Auth":                 {"Calls", "Registrations"},
		"Calls":                {"CredentialListMappings", "IpAccessControlListMappings"},
		"IncomingPhoneNumbers": {"Local", "Mobile", "TollFree"},
		"Records":              {"AllTime", "Daily", "LastMonth", "Monthly", "ThisMonth", "Today", "Yearly", "Yesterday"},
		"Registrations":        {"CredentialListMappings"},
		"SIP":                  {"CredentialLists", "Domains", "IpAccessControlLists"},
		"SMS":                  {"ShortCodes"},
		"Usage":                {"Records", "Triggers"},
	},
	"bulkexports": {
		"Exports": {"Jobs"},
	},
	"content": {
		"ApprovalRequests": {"whatsapp"},
	},
	"conversations": {
		"Configuration": {"Addresses", "Notifications", "Webhooks"},
	},
	"flex-api": {
		"Assessments":       {"Comments"},
		"Insights":          {"Conversations", "QualityManagement", "Segments", "Session", "UserRoles"},
		"PluginService":     {"Configurations", "Plugins", "Releases"},
		"QualityManagement": {"Assessments", "Categories", "Questionnaires", "Questions", "Settings"},
		"Settings":          {"AnswerSets", "CommentTags"},
		"account":           {"provision"},
		"provision":         {"status"},
	},
	"iam": {
		"Account": {"OAuthApps"},
	},
	"insights": {
		"PhoneNumbers": {"Inbound", "Outbound"},
		"Reports":      {"PhoneNumbers"},
		"Video":        {"Rooms"},
		"Voice":        {"Reports", "Settings", "Summaries"},
	},
	"intelligence": {
		"OperatorResults": {"Encrypted"},
		"Operators":       {"Custom", "PreBuilt"},
		"Sentences":       {"Encrypted"},
	},
	"lookups": {
		"RateLimits": {"Fields"},
		"batch":      {"query"},
	},
	"messaging": {
		"Channels":       {"Senders"},
		"Compliance":     {"Usa2p"},
		"Indicators":     {"Typing"},
		"LinkShortening": {"Domains", "MessagingService", "MessagingServices"},
		"Services":       {"PreregisteredUsa2p", "Usecases"},
		"Tollfree":       {"Verifications"},
		"Usa2p":          {"Usecases"},
		"a2p":            {"BrandRegistrations"},
	},
	"numbers": {
		"Configuration":        {"Webhook"},
		"Eligibility":          {"Bulk"},
		"HostedNumber":         {"AuthorizationDocuments", "Eligibility", "Orders"},
		"HostedNumbers":        {"HostedNumberOrders"},
		"Orders":               {"Bulk"},
		"PortIn":               {"PortInRequests"},
		"Portability":          {"PhoneNumber"},
		"Porting":              {"Configuration", "PortIn", "Portability"},
		"RegulatoryCompliance": {"Bundles", "EndUserTypes", "EndUsers", "Regulations", "SupportingDocumentTypes", "SupportingDocuments"},
		"ShortCodes":           {"Applications"},
		"SigningRequest":       {"Configuration"},
	},
	"preview": {
		"HostedNumbers": {"AuthorizationDocuments", "HostedNumberOrders"},
		"marketplace":   {"AvailableAddOns", "InstalledAddOns"},
		"wireless":      {"Commands", "RatePlans", "Sims"},
	},
	"preview-iam": {
		"scim": {"Users"},
	},
	"pricing": {
		"Messaging":    {"Countries"},
		"PhoneNumbers": {"Countries"},
		"Trunking":     {"Countries", "Numbers"},
		"Voice":        {"Countries", "Numbers"},
	},
	"studio": {
		"Flows": {"Validate"},
	},
	"taskrouter": {
		"TaskQueues": {"RealTimeStatistics", "Statistics"},
		"Workers":    {"CumulativeStatistics", "RealTimeStatistics", "Statistics"},
	},
	"trusthub": {
		"ComplianceInquiries":  {"Customers", "Registration", "Tollfree"},
		"Customers":            {"Initialize"},
		"GB":                   {"Initialize"},
		"Registration":         {"RegulatoryCompliance"},
		"RegulatoryCompliance": {"GB"},
		"Tollfree":             {"Initialize"},
	},
	"verify": {
		"Attempts": {"Summary"},
		"Passkeys": {"ApproveChallenge", "Challenges", "Factors", "VerifyFactor"},
		"SafeList": {"Numbers"},
	},
	"video": {
		"CompositionSettings": {"Default"},
		"RecordingSettings":   {"Default"},
	},
	"voice": {
		"DialingPermissions": {"BulkCountryUpdates", "Countries"},
	},
}

// A postRule says what a POST does whose path misleads.
type postRule int

const (
	updates        postRule = iota + 1 // POST changes a thing that always exists
	updatesBelowID                     // POST creates; below an identifier it updates
	createsAtID                        // POST to an identifier attaches something, which is a creation
)

// irregularPosts lists the POSTs whose path misleads. As a rule a POST to a collection
// creates, and one to an identifier updates.
var irregularPosts = map[string]map[string]postRule{
	"accounts": {
		"AuthTokens/Promote": updates,
	},
	"assistants": {
		"Assistants/Knowledge": createsAtID,
		"Assistants/Tools":     createsAtID,
	},
	"bulkexports": {
		"Exports/Configuration": updates,
	},
	"conversations": {
		"Configuration":                        updates,
		"Configuration/Webhooks":               updates,
		"Services/Configuration":               updates,
		"Services/Configuration/Notifications": updates,
		"Services/Configuration/Webhooks":      updates,
	},
	"flex-api": {
		"Configuration":                          updates,
		"PluginService/Plugins/Archive":          updates,
		"PluginService/Configurations/Archive":   updates,
		"PluginService/Plugins/Versions/Archive": updates,
	},
	"insights": {
		"Voice/Settings":   updates,
		"Voice/Annotation": updates,
	},
	"intelligence": {
		"Services/Operators": createsAtID,
	},
	"lookups": {
		"PhoneNumbers/Overrides": createsAtID,
	},
	"messaging": {
		"LinkShortening/Domains/Certificate":        updates,
		"LinkShortening/Domains/Config":             updates,
		"LinkShortening/Domains/RequestManagedCert": updates,
		"LinkShortening/Domains/MessagingServices":  createsAtID,
	},
	"studio": {
		"Flows/Validate":  updates,
		"Flows/TestUsers": updates,
	},
	"trunking": {
		"Trunks/Recording": updates,
	},
	"trusthub": {
		"ComplianceInquiries/Customers/Initialize":                            updatesBelowID,
		"ComplianceInquiries/Registration/RegulatoryCompliance/GB/Initialize": updatesBelowID,
	},
	"verify": {
		"Services/Passkeys/VerifyFactor":     updates,
		"Services/Passkeys/ApproveChallenge": updates,
	},
	"video": {
		"Rooms/Participants/Anonymize":      updates,
		"Rooms/Participants/SubscribeRules": updates,
		"Rooms/RecordingRules":              updates,
	},
	"voice": {
		"Settings": updates,
	},
}
