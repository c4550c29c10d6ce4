package pacer

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// An Op is what a request does to its resource. Twilio limits them apart, and so
// does pacer: reading messages never waits behind sending them.
type Op string

// The operations.
const (
	Read   Op = "read"   // GET, HEAD: fetch one or list
	Create Op = "create" // POST to a collection: a new message, call, execution
	Write  Op = "write"  // update, delete: everything else
)

// A Resource is what one bucket of a [Limiter] is kept for: requests of the same
// Resource share a rate, a cool-down and in-flight slots. It is comparable, and so
// can be the key of a map.
//
// It is derived from a request's method, URL and form alone. SIDs, phone numbers and
// unique names are not part of Name, so that Name is safe as a metric's label; Sender
// may be a phone number and is not.
type Resource struct {
	// Account is the SID of the account that is charged: the one in the URL's path
	// (which may be a subaccount), else the account of the credentials. Of these it is
	// the user name, if that begins with AC, else, for an API key, the client's AccountSid.
	Account string
	// Region is the Twilio region that the host names, "us1" where it names none.
	// Regions are separate stacks with separate limits; edges are only entrances.
	Region string
	// Product is the first label of the host: "api", "lookups", "verify", ...
	Product string
	// Name is the path without version, account, SIDs and other identifiers:
	// "Messages", "Messages/Media", "Services/Verifications", "PhoneNumbers".
	// Versions of one API (lookups v1 and v2) share a name, as they share limits.
	Name string
	// Op tells reads, creates and other writes apart.
	Op Op
	// Sender is, when a message is created, its From, else its
	// MessagingServiceSid; Twilio limits each sender by itself. Otherwise "".
	// A phone number is in E.164 form, whatever its notation in the request:
	// "+1 500 555 0006" and "15005550006" are "+15005550006", with or without a
	// channel ("whatsapp:+15005550006"). What is no phone number stays as it is.
	Sender string `json:"-"`
}

// String returns product, name and operation, such as "api/Messages:create". It
// holds neither account nor sender, and takes a bounded number of values.
func (r Resource) String() string {
	return r.Product + "/" + r.Name + ":" + string(r.Op)
}

// ResourceOf maps a request to its resource. method, rawURL and form are as twilio-go
// gives them to its client.BaseClient, account is the SID of the account whose credentials
// the request is sent with. Any input has a resource; of a nonsensical one it is one of
// its own. It allocates only for names of more than one segment, and for a sender that is
// not in E.164 form.
func ResourceOf(method, rawURL string, form url.Values, account string) Resource {
	host, path := splitURL(rawURL)
	r := Resource{Account: account}
	r.Product, r.Region = productAndRegion(host)

	path = strings.TrimSuffix(path, ".json")
	seg, rest := nextSegment(path)
	if isVersion(seg) {
		if seg[0] != 'v' {
			r.Product = "api" // 2010-04-01 is only ever the core API, also behind a proxy's host name
		}
		seg, rest = nextSegment(rest)
	}
	if r.Product == "api" && seg == "Accounts" {
		if account, below := nextSegment(rest); below != "" {
			r.Account = account
			seg, rest = nextSegment(below)
		}
	}

	// Twilio's paths alternate: a collection, an identifier, a collection, ... An
	// identifier may be a unique name and look like anything, so that only its
	// position tells it from a collection. Where two fixed words follow each other,
	// fixedAfter knows.
	endsInID, idBefore := false, false
	parent := ""
	for seg != "" {
		isWord := looksFixed(seg) && (parent == "" || slices.Contains(fixedAfter[r.Product][parent], seg))
		if isWord {
			r.Name = joinName(r.Name, seg)
			parent, endsInID = seg, false
		} else {
			parent, endsInID, idBefore = "", true, true
		}
		seg, rest = nextSegment(rest)
	}

	r.Op = opOf(method, r.Product, r.Name, endsInID, idBefore)
	if r.Op == Create && r.Product == "api" && r.Name == Messages {
		if r.Sender = canonicalParty(form.Get("From")); r.Sender == "" {
			r.Sender = canonicalParty(form.Get("MessagingServiceSid"))
		}
	}
	return r
}

// namesAccount reports that the URL's path has the account. Only the core API's paths have.
func (r Resource) namesAccount() bool { return r.Product == "api" && r.Name != "Accounts" }

// canonicalParty returns the notation of a sender or receiver that all its notations have
// in common. A phone number is in E.164 form then, a channel in lower case. What is neither
// stays as it is, but for blanks around it.
//
// Twilio documents E.164, and takes other notations, too: of North American numbers those
// without "+" or without "+1".
func canonicalParty(s string) string {
	s = strings.TrimSpace(s)
	channel, address, found := strings.Cut(s, ":")
	if !found {
		return canonicalNumber(s, true)
	}
	name := strings.ToLower(strings.TrimSpace(channel))
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
		return s
	}
	number := canonicalNumber(strings.TrimSpace(address), name == "whatsapp")
	if name == channel && number == address {
		return s // without allocating
	}
	return name + ":" + number
}

// canonicalNumber returns a phone number in E.164 form, and everything else as it is.
// always: the text is a number also without its "+".
func canonicalNumber(s string, always bool) string {
	digits := strings.Map(digitsOnly, s)
	if strings.Contains(s, "(0)") { // "+44 (0) 20": the zero is not dialled from abroad
		digits = strings.Map(digitsOnly, strings.Replace(s, "(0)", "", 1))
	}
	national, international := strings.CutPrefix(digits, "+")
	switch n := len(national); {
	case n == 0, n > 15, national[0] == '0', strings.Trim(national, "0123456789") != "":
	case international:
		return digits
	case !always:
	case n <= 8:
		return digits // a short code
	case n == 10 && national[0] >= '2' && national[3] >= '2': // North America, where neither part begins with 0 or 1
		return "+1" + digits
	case n >= 11:
		return "+" + digits
	}
	return s
}

// digitsOnly drops what people write between the digits of a phone number. It keeps all else.
func digitsOnly(r rune) rune {
	switch {
	case '0' <= r && r <= '9', r == '+':
		return r
	case strings.ContainsRune("().-/", r), unicode.IsSpace(r), unicode.In(r, unicode.Pd, unicode.Cf): // other dashes, marks without width
		return -1
	}
	return r
}

func opOf(method, product, name string, endsInID, idBefore bool) Op {
	switch method {
	case http.MethodGet, http.MethodHead:
		return Read
	case http.MethodPost:
	default:
		return Write
	}
	switch rule := irregularPosts[product][name]; {
	case rule == updates, rule == updatesBelowID && idBefore:
		return Write
	case rule == createsAtID:
		return Create
	case endsInID:
		return Write
	}
	return Create
}

// splitURL returns host (without port) and path. It does what url.Parse would, for
// the URLs that twilio-go builds, without allocating.
func splitURL(rawURL string) (host, path string) {
	if i := strings.Index(rawURL, "://"); i >= 0 {
		rawURL = rawURL[i+3:]
	}
	rawURL, _, _ = strings.Cut(rawURL, "?")
	rawURL, _, _ = strings.Cut(rawURL, "#")
	host, path, _ = strings.Cut(rawURL, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host, path
}

// productAndRegion reads product.twilio.com, product.region.twilio.com and
// product.edge.region.twilio.com, the forms that twilio-go's BuildUrl makes. Of any
// other host the whole is the product.
func productAndRegion(host string) (product, region string) {
	labels, ok := strings.CutSuffix(host, ".twilio.com")
	if !ok {
		return host, ""
	}
	product, labels, _ = strings.Cut(labels, ".")
	region = labels[strings.LastIndexByte(labels, '.')+1:]
	if region == "" {
		region = "us1"
	}
	return product, region
}

func nextSegment(path string) (seg, rest string) {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	seg, rest, _ = strings.Cut(path, "/")
	return seg, rest
}

func joinName(name, seg string) string {
	if name == "" {
		return seg
	}
	return name + "/" + seg
}

// isVersion reports v1, v2, ... and dates such as 2010-04-01.
func isVersion(seg string) bool {
	if len(seg) >= 2 && seg[0] == 'v' {
		return strings.Trim(seg[1:], "0123456789") == ""
	}
	return len(seg) == 10 && seg[4] == '-' && seg[7] == '-' && strings.Trim(seg, "0123456789-") == ""
}

// looksFixed reports whether seg may be a fixed word of a path. It is the second
// line of defence: an endpoint that Twilio adds tomorrow may put identifiers where
// none are today, and they must not reach a name.
func looksFixed(seg string) bool {
	if seg == "" || len(seg) > 40 {
		return false
	}
	digits := 0
	for i := range len(seg) {
		c := seg[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9'):
			digits++
		case i > 0 && (c == '-' || c == '_'):
		default:
			return false
		}
	}
	// No word of Twilio's has more than one digit (Usa2p, a2p); every SID and
	// every phone number has.
	return digits <= 1 && !isSID(seg)
}

func isSID(s string) bool {
	return len(s) == 34 && strings.Trim(s[2:], "0123456789abcdefABCDEF") == ""
}

// mask hides the middle of a phone number, also of "whatsapp:+15550006": enough is
// left to recognise one's own sender. SIDs and names are not secret.
func mask(sender string) string {
	number := max(0, strings.IndexByte(sender, '+'))
	if len(sender)-number < 10 || strings.Trim(sender[number:], "+0123456789 -().") != "" {
		return sender
	}
	return sender[:number+5] + "•••" + sender[len(sender)-4:]
}

var longNumber = regexp.MustCompile(`[0-9A-Za-z]*\+?[0-9][0-9 ().-]{7,}[0-9][0-9A-Za-z]*`)

// MaskNumbers returns text with the middle of every phone number hidden, as pacer does in its
// logs and alerts. Twilio's error messages may name a number, and pacer leaves its errors as
// they are: use it where a program logs them itself.
//
// A run of ten characters or more that has only digits, blanks, dots, hyphens, brackets and a plus
// counts as a number. SIDs and IP addresses stay. It is safe for concurrent use.
func MaskNumbers(text string) string {
	return longNumber.ReplaceAllStringFunc(text, func(found string) string {
		if isSID(found) || len(found) < 10 || net.ParseIP(found) != nil {
			return found
		}
		return found[:5] + "•••" + found[len(found)-4:]
	})
}

// fixedAfter lists, by product, the fixed words of a path that follow another fixed
// word directly: in /SIP/Domains/{Sid} "Domains" is no identifier. Derived from
// Twilio's OpenAPI documents (github.com/twilio/twilio-oai); resource_test.go checks
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

type postRule int

const (
	updates        postRule = iota + 1 // POST changes a thing that is always there
	updatesBelowID                     // POST creates, but below an identifier it updates
	createsAtID                        // POST to an identifier attaches: a creation
)

// irregularPosts lists the POSTs whose path's shape misleads: as a rule a POST to a
// collection creates and one to an identifier updates.
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
