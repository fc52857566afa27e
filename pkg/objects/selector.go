package objects

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Selector picks objects of one type by their tags and name, and by what they
// hold.
type Selector struct {
	t      *Type
	text   string
	terms  []term // of tags and the name
	fields []term
}

// term is one "tag=EXPR" or "tag!=EXPR": a regular expression, or literal text.
type term struct {
	tag     string
	negate  bool
	literal string
	pattern *regexp.Regexp // nil for a literal
}

// String returns the selector as it was given.
func (s *Selector) String() string { return s.text }

// Match tells whether the selector's terms of tags and name fit the key. An
// object may still fail the terms of fields, which MatchFields judges.
func (s *Selector) Match(k Key) bool {
	for _, term := range s.terms {
		value, ok := s.t.Tag(k, term.tag)
		if !ok || !term.match(value) {
			return false
		}
	}
	return true
}

// MatchFields tells whether the selector's terms of fields fit what the object
// holds: text for a field of words, JSON ("10", "true", ["a", "b"]) for all
// others, the default for a field that is not stored. An object whose fields
// cannot be read fits no term, negated or not, and is an error.
func (s *Selector) MatchFields(o Object) (bool, error) {
	for _, term := range s.fields {
		v, err := o.Value(term.tag)
		if err != nil {
			return false, err
		}
		value, ok := v.(string)
		if !ok {
			raw, err := Encode(v)
			if err != nil {
				return false, o.fail(err)
			}
			value = string(raw)
		}
		if !term.match(value) {
			return false, nil
		}
	}
	return true, nil
}

func (t term) match(value string) bool {
	if t.pattern == nil {
		return (value == t.literal) != t.negate
	}
	return t.pattern.MatchString(value) != t.negate
}

// Prefix returns the longest "a/b/" that every key the selector can match
// begins with: "" when the first tag is not given literally. When all tags are
// literal and the name is too, the name is its end: "a/b/c/name".
func (s *Selector) Prefix() string {
	var prefix strings.Builder
	for _, tag := range s.t.Tags {
		literal, ok := s.literal(tag)
		if !ok {
			return prefix.String()
		}
		prefix.WriteString(literal + "/")
	}
	name, _ := s.literal("name")
	return prefix.String() + name
}

// literal returns the one value the selector allows for a tag, if there is
// only one.
func (s *Selector) literal(tag string) (string, bool) {
	i := slices.IndexFunc(s.terms, func(t term) bool { return t.tag == tag && !t.negate })
	if i < 0 || s.terms[i].pattern != nil {
		return "", false
	}
	return s.terms[i].literal, true
}

// SelectExact returns the selector of the keys whose tags and name ("name")
// are exactly these: no value is taken for a regular expression.
func (t *Type) SelectExact(tags map[string]string) (*Selector, error) {
	s := &Selector{t: t}
	for tag := range tags {
		if !t.hasTag(tag) {
			return nil, t.unknownTag(tag)
		}
	}
	var texts []string
	for _, tag := range t.selectable() {
		if value, ok := tags[tag]; ok {
			s.terms = append(s.terms, term{tag: tag, literal: value})
			texts = append(texts, tag+"="+value)
		}
	}
	s.text = strings.Join(texts, ",")
	return s, nil
}

// ParseSelector reads "tag=EXPR,tag!=EXPR…", where each tag is one of the
// type's, "name", or else one of its fields, and each EXPR is a regular
// expression (RE2) for the whole value. A comma inside parentheses, brackets, a
// repetition or quotation marks belongs to the expression; quotation marks
// around all of it do not. What is not named matches everything.
//
// Where conftool ignores or guesses, it is an error that names the tags there
// are: an unknown tag, a tag named twice, a term without "=", an empty
// expression.
func (t *Type) ParseSelector(text string) (*Selector, error) {
	s := &Selector{t: t, text: text}
	if text == "" {
		return nil, fmt.Errorf("selector: empty: want TAG=REGEX[,TAG=REGEX…] with tags %s", t.tagNames())
	}
	for _, part := range splitTerms(text) {
		next, err := t.parseTerm(part)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", text, err)
		}
		to := &s.terms
		if !t.hasTag(next.tag) {
			to = &s.fields
		}
		if !next.negate && slices.ContainsFunc(*to, func(o term) bool { return o.tag == next.tag && !o.negate }) {
			return nil, fmt.Errorf("selector %q: tag %s is there twice (tags are %s)", text, next.tag, t.tagNames())
		}
		*to = append(*to, next)
	}
	return s, nil
}

func (t *Type) parseTerm(text string) (term, error) {
	before, expr, ok := strings.Cut(text, "=")
	tag, negate := strings.CutSuffix(before, "!")
	_, field := t.Field(tag)
	switch {
	case !ok:
		return term{}, fmt.Errorf("term %q: want TAG=REGEX (tags are %s)", text, t.tagNames())
	case !field && !t.hasTag(tag):
		return term{}, t.unknownTag(tag)
	case expr == "":
		return term{}, fmt.Errorf("tag %s: empty expression matches nothing (tags are %s)", tag, t.tagNames())
	}
	if quoted := quotation(expr); quoted == len(expr) {
		expr = expr[1 : quoted-1]
	}
	// The expression alone must be valid, lest "a)|(b" escape the group.
	alone, err := regexp.Compile(expr)
	if err != nil {
		return term{}, fmt.Errorf("tag %s: %w (tags are %s)", tag, explain(tag, expr, err), t.tagNames())
	}
	if literal, complete := alone.LiteralPrefix(); complete {
		return term{tag: tag, negate: negate, literal: literal}, nil
	}
	pattern, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return term{}, fmt.Errorf("tag %s: %w (tags are %s)", tag, err, t.tagNames())
	}
	return term{tag: tag, negate: negate, pattern: pattern}, nil
}

// tagOf returns the tag of a term, "" where there is none.
func tagOf(text string) string {
	tag, _, ok := strings.Cut(text, "=")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(tag, "!")
}

// ParseNameStart compiles the expression of conftool's tags mode ("re:EXPR"),
// which a name only has to begin with.
func ParseNameStart(expr string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(expr); err != nil {
		return nil, fmt.Errorf("expression %q: %w", expr, explain("name", expr, err))
	}
	return regexp.Compile(`\A(?:` + expr + `)`)
}

// explain puts the features of Python's expressions that RE2 lacks into words.
func explain(tag, expr string, err error) error {
	for _, op := range []string{"(?=", "(?!", "(?<=", "(?<!"} {
		if strings.Contains(expr, op) {
			return fmt.Errorf("look-around %s…) is not supported: what should not match is %s!=REGEX", op, tag)
		}
	}
	return err
}

// splitTerms splits a selector at the commas that belong to no expression.
func splitTerms(text string) []string {
	var terms []string
	start, depth := 0, 0
	for i := 0; i < len(text); {
		if i > start && text[i-1] == '=' && strings.IndexByte(text[start:i-1], '=') < 0 {
			i += quotation(text[i:]) // at the beginning of the expression
			if i == len(text) {
				break
			}
		}
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth <= 0 {
				terms = append(terms, text[start:i])
				start, depth = i+1, 0
			}
		}
		i += atomLen(text[i:])
	}
	return append(terms, text[start:])
}

// quotation returns the length of the quoted expression s starts with, up to
// its end or the next term; 0 where there is none.
func quotation(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == s[0] && (i+1 == len(s) || s[i+1] == ','):
			return i + 1
		}
	}
	return 0
}

// atomLen returns how long the piece of an expression at the start of s is
// within which commas and parentheses mean nothing: an escape, a quotation, a
// character class, a repetition; 1 for everything else.
func atomLen(s string) int {
	switch {
	case strings.HasPrefix(s, `\Q`):
		if end := strings.Index(s, `\E`); end > 0 {
			return end + 2
		}
		return len(s)
	case s[0] == '\\':
		return min(2, len(s))
	case s[0] == '[':
		return classLen(s)
	case s[0] == '{':
		return max(1, len(repetition(s)))
	}
	return 1
}

// repetition returns the "{n}", "{n,}" or "{n,m}" s starts with. Any other
// brace is a literal one.
func repetition(s string) string {
	end := strings.IndexByte(s, '}')
	if end < 2 || strings.Trim(s[1:end], "0123456789,") != "" || s[1] == ',' {
		return ""
	}
	return s[:end+1]
}

// classLen returns the length of the character class s starts with: up to the
// closing bracket, one right at the beginning being a literal.
func classLen(s string) int {
	i := 1
	if i < len(s) && s[i] == '^' {
		i++
	}
	if i < len(s) && s[i] == ']' {
		i++
	}
	for i < len(s) {
		switch {
		case s[i] == '\\':
			i += 2
		case strings.HasPrefix(s[i:], "[:"):
			if end := strings.Index(s[i:], ":]"); end > 0 {
				i += end + 2
				continue
			}
			i++
		case s[i] == ']':
			return i + 1
		default:
			i++
		}
	}
	return len(s)
}

// selectable returns what a selector may name, in order.
func (t *Type) selectable() []string { return append(slices.Clone(t.Tags), "name") }

func (t *Type) hasTag(tag string) bool { return slices.Contains(t.selectable(), tag) }

func (t *Type) tagNames() string { return strings.Join(t.selectable(), ", ") }

func (t *Type) unknownTag(tag string) error {
	fields := ""
	for _, f := range t.Fields {
		fields += ", " + f.Name
	}
	return fmt.Errorf("unknown tag %q: type %s has %s, and fields%s", tag, t.Name, t.tagNames(), strings.TrimPrefix(fields, ","))
}
