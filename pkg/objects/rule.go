package objects

import (
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Rule is one JSON schema of a type: every object it applies to must satisfy
// the file's schema, as a whole. This package only says which rules apply; it
// reads no files.
type Rule struct {
	// Name is the rule's name in schema.yaml.
	Name string
	// File holds the JSON schema. Where schema.yaml names it by a relative
	// path, that begins at schema.yaml's own directory.
	File string
	// terms choose the objects by tags and name; none chooses all.
	terms *Selector
}

// RulesFor returns the rules that apply to an object of that key.
func (t *Type) RulesFor(k Key) []Rule {
	var rules []Rule
	for _, r := range t.Rules {
		if r.terms.Match(k) {
			rules = append(rules, r)
		}
	}
	return rules
}

// rules reads a type's json_schema. conftool's files are under "schemas" unless
// base_path says where.
func (d *document) rules(t *Type, n *yaml.Node, what string) ([]Rule, error) {
	what += ": json_schema"
	keys, err := d.keys(n, what)
	if err != nil {
		return nil, err
	}
	base := "schemas"
	if p := keys["base_path"]; p != nil {
		if base, err = d.scalar(p, what+": base_path"); err != nil {
			return nil, err
		}
	}
	if !filepath.IsAbs(base) {
		base = filepath.Join(filepath.Dir(d.file), base)
	}
	d.unknown(keys, what, "base_path", "rules")
	if keys["rules"] == nil {
		return nil, nil
	}
	entries, err := d.mapping(keys["rules"], what+": rules")
	if err != nil {
		return nil, err
	}
	var rules []Rule
	for _, e := range entries {
		r, err := d.rule(t, e, base, what+": rule "+e.key)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (d *document) rule(t *Type, e entry, base, what string) (Rule, error) {
	r := Rule{Name: e.key, terms: &Selector{t: t}}
	keys, err := d.keys(e.value, what)
	if err != nil {
		return r, err
	}
	d.unknown(keys, what, "schema", "selector")
	if keys["schema"] == nil {
		return r, d.errorf(e.node, "%s: no schema", what)
	}
	file, err := d.scalar(keys["schema"], what+": schema")
	if err != nil {
		return r, err
	}
	r.File = filepath.Join(base, file)
	if keys["selector"] == nil {
		return r, nil
	}
	text, err := d.scalar(keys["selector"], what+": selector")
	if err != nil {
		return r, err
	}
	if r.terms, err = t.ruleSelector(text); err != nil {
		return r, d.errorf(keys["selector"], "%s: %w", what, err)
	}
	return r, nil
}

// ruleSelector reads a rule's selector. Like conftool it passes over tags the
// type does not have: one selector serves several types.
func (t *Type) ruleSelector(text string) (*Selector, error) {
	s := &Selector{t: t, text: text}
	for _, part := range splitTerms(text) {
		if tag := tagOf(part); tag != "" && !t.hasTag(tag) {
			continue
		}
		next, err := t.parseTerm(part)
		if err != nil {
			return nil, fmt.Errorf("selector %q: %w", text, err)
		}
		s.terms = append(s.terms, next)
	}
	return s, nil
}
