package twiliotest

import "strings"

// smartEncoding replaces what Twilio's Smart Encoding replaces, by the list at
// https://www.twilio.com/docs/messaging/services/smart-encoding-char-list.
// Left out are ornaments, letters in small capitals and control characters.
// Grave accents and tabs, which ASCII has as well, are replaced, too.
var smartEncoding = func() *strings.Replacer {
	var pairs []string
	for _, r := range []struct{ by, characters string }{
		{`"`, "«»“”„‟ʺˮ〝〞＂"},
		{"'", "‘’‛ʻʼʽʹˈ´ˊ`ˋ‗＇"},
		{"-", "–—―‐⁃•－﹣"},
		{"/", "÷⁄∕／"},
		{"\\", "⧵＼﹨"},
		{",", "‚、，､﹐"},
		{".", "。．｡﹒"},
		{"*", "∗⁎＊﹡"},
		{"~", "˜∼～"},
		{"^", "ˆ＾"},
		{"|", "∣｜"},
		{"_", "＿"},
		{"!!", "‼"},
		{"...", "…"},
		{">", "‹"}, // sic, and the other way round for the next
		{"<", "›"},
		{"1/4", "¼"},
		{"1/2", "½"},
		{"3/4", "¾"},
		{" ", "\u2001\u2028\u2029"},
		{"  ", "\u00a0\u2000\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"},
		{"       ", "\t"},
		{"", "\u200b\u2060\ufeff"},
	} {
		for _, c := range r.characters {
			pairs = append(pairs, string(c), r.by)
		}
	}
	// Fullwidth digits, capitals and signs stand in the order of ASCII.
	const signs = "!#$%&()+0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]{}"
	for _, c := range signs {
		pairs = append(pairs, string(c-'!'+'！'), string(c))
	}
	return strings.NewReplacer(pairs...)
}()
