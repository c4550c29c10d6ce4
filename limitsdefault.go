package pacer

import (
	"strings"

	"github.com/twilio-pacer/pacer/internal/endpoint"
)

// A DefaultLimit is a limit that pacer keeps where no rule of yours matches.
type DefaultLimit struct {
	Limit
	Senders string // what kind of sender it is for; "" where senders do not matter
	Source  string // where Twilio says so
}

// DefaultLimits returns the table of built-in limits, each with its source. They are
// what Twilio gives a new account, where it publishes a figure; yours may be higher.
// What is not listed is not paced until Twilio throttles it. That is so for a Messaging
// Service, too: how many senders it has only Twilio knows, see [WithPoolDiscovery].
//
// Where calls wait because of one of these limits, [AlertPacedByDefault] says so.
func DefaultLimits() []DefaultLimit {
	table := make([]DefaultLimit, len(defaultLimits))
	for i, d := range defaultLimits {
		table[i] = DefaultLimit{Limit: d.limit, Senders: string(d.senders), Source: d.source}
	}
	return table
}

type senderKind string

const (
	anySender        senderKind = ""
	longCode         senderKind = "long code"
	tollFree         senderKind = "toll-free number"
	shortCode        senderKind = "short code"
	whatsApp         senderKind = "WhatsApp"
	whatsAppSandbox  senderKind = "WhatsApp sandbox"
	rcs              senderKind = "RCS"
	messagingService senderKind = "Messaging Service" // not in the table: its rate is that of its pool
	otherSender      senderKind = "other"             // alphanumeric and the like: Twilio publishes no figure
)

const (
	sourceMPS     = "Twilio support, article 115002943027, Understanding Twilio Rate Limits and Message Queues"
	sourceSkill   = "github.com/twilio/ai, skills/twilio/twilio-reliability-patterns; another skill there says 30"
	sourceABT     = "https://www.twilio.com/docs/messaging/guides/account-based-throughput-overview"
	sourceWA      = "https://www.twilio.com/docs/whatsapp/best-practices-and-faqs"
	sourceSandbox = "Twilio support, article 360024008153"
	source63018   = "https://www.twilio.com/docs/api/errors/63018"
	sourceCPS     = "https://www.twilio.com/docs/glossary/cps"
	sourceStudio  = "Twilio support, article 39605338385051, Twilio Studio Limitation"
	sourceContent = "https://www.twilio.com/en-us/changelog/content-api-rate-limits"
	source45780   = "https://www.twilio.com/docs/api/errors/45780"
	sourceLookup  = "none published per account; the cautious figure of ArticleLimits"
)

// A builtin is a limit that pacer brings.
type builtin struct {
	limit   Limit
	senders senderKind // that it is for
	source  string     // where Twilio says so
}

// defaultLimits is the one place where a limit of Twilio's stands.
var defaultLimits = []builtin{
	{Limit{Resource: Messages, Rate: 1}, longCode, sourceMPS},
	{Limit{Resource: Messages, Rate: 3}, tollFree, sourceSkill},
	{Limit{Resource: Messages, Rate: 100}, shortCode, sourceABT},
	{Limit{Resource: Messages, Rate: 80}, whatsApp, sourceWA},
	{Limit{Resource: Messages, Rate: 1.0 / 3}, whatsAppSandbox, sourceSandbox},
	{Limit{Resource: Messages, Rate: 100}, rcs, source63018},
	{Limit{Resource: Calls, Rate: 1}, anySender, sourceCPS},
	{Limit{Resource: Lookups, Rate: 1}, anySender, sourceLookup},
	{Limit{Resource: "studio/Flows/Executions", Rate: 20}, anySender, sourceStudio},
	{Limit{Resource: "content/Content", Op: Create, Rate: 100}, anySender, sourceContent},
	{Limit{Resource: "content/Content", Op: Read, Rate: 20}, anySender, sourceContent}, // list; fetch would be 100
	{Limit{Resource: "content/Content", Op: Write, Rate: 20}, anySender, sourceContent},
	{Limit{Resource: "flex-api/Interactions", Rate: 20}, anySender, source45780},
	{Limit{Resource: "flex-api/WebChats", Rate: 5}, anySender, source45780},
}

func kindOf(sender string) senderKind {
	switch {
	case sender == "":
		return anySender
	case sender == "whatsapp:+14155238886":
		return whatsAppSandbox
	case strings.HasPrefix(sender, "whatsapp:"):
		return whatsApp
	case strings.HasPrefix(sender, "rcs:"):
		return rcs
	case endpoint.IsSID(sender) && strings.HasPrefix(sender, "MG"):
		return messagingService
	}
	digits, international := strings.CutPrefix(sender, "+")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return otherSender
	}
	if !international && len(digits) <= 8 {
		return shortCode // US and Canada 5 or 6 digits, elsewhere 3 to 8
	}
	if !international {
		return otherSender // a long number without its +, which Twilio does not take
	}
	if len(digits) == 11 && digits[0] == '1' {
		switch digits[1:4] {
		case "800", "833", "844", "855", "866", "877", "888":
			return tollFree
		}
	}
	return longCode
}

// defaultRate is what the table says of messages from one sender, in requests per second.
func defaultRate(kind senderKind) float64 {
	for _, d := range defaultLimits {
		if d.senders == kind {
			return d.limit.Rate
		}
	}
	return 0
}
