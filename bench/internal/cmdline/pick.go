package cmdline

import (
	"fmt"
	"strings"
)

// Pick is a flag's function, which sets to to those of all that a list names,
// in the order of all.
func Pick[T any](to *[]T, all []T, name func(T) string) func(string) error {
	return func(list string) error {
		wanted := map[string]bool{}
		for word := range strings.SplitSeq(list, ",") {
			wanted[strings.TrimSpace(word)] = true
		}
		var picked []T
		for _, t := range all {
			if wanted[name(t)] {
				picked = append(picked, t)
				delete(wanted, name(t))
			}
		}
		for word := range wanted {
			return fmt.Errorf("%q is unknown: expected some of %s, separated by commas", word, Names(all, name))
		}
		*to = picked
		return nil
	}
}

// Names are the names of all, for people.
func Names[T any](all []T, name func(T) string) string {
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = name(t)
	}
	return strings.Join(words, ", ")
}
