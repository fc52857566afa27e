package catalog

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is what can be a part of a section's name, of an option's, of a key in
// the store and of a file's name, and means nothing else in any of them.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

const notWord = "want letters, digits, and dots, dashes or underscores behind the first"

func isWord(text string) bool { return word.MatchString(text) }

// shown returns a text as errors show it: words as they are.
func shown(text string) string {
	const most = 100
	switch {
	case len(text) > most:
		return strconv.Quote(text[:most]) + "…"
	case isWord(text):
		return text
	}
	return strconv.Quote(text)
}

// checkCharacters refuses what could end a line or hide in one.
func checkCharacters(text string) error {
	if !utf8.ValidString(text) {
		return errors.New("is not UTF-8 text")
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return errors.New("holds the character " + strconv.QuoteRuneToASCII(r) + ", which must not be in a configuration")
		}
	}
	return nil
}

// checkPlain refuses a text that, as the value of an option, would be read as
// another.
func checkPlain(text string) error {
	if err := checkCharacters(text); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(text) == "" || text == `""`:
		return errors.New("is empty")
	case strings.TrimSpace(text) != text:
		return errors.New("begins or ends with a blank")
	case strings.Contains(" "+text, " ;"):
		return errors.New("has a blank before a semicolon, which begins a comment in pybal.conf")
	case strings.ContainsRune(`["'`, rune(text[0])):
		return errors.New("begins like a Python literal: write a list as YAML's")
	}
	return nil
}

// quote writes a text as a Python string. A semicolon is a comment's behind a
// blank, even there.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, " ;", ` \x3b`).Replace(text) + `"`
}

// oneLine puts a text on one line.
func oneLine(text string) string {
	visible := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(visible), " ")
}
