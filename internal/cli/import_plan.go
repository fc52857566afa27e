package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// importPlan is how a source and this store compare.
type importPlan struct {
	parts   []*importPart
	unknown []strayKey
}

// importPart is one type's.
type importPart struct {
	t         *objects.Type
	create    []state.Mutation
	overwrite []state.Mutation
	different []state.Mutation // what stays as it is
	same      int
	unusable  []error
	extra     []objects.Object // those the source has not
}

// compare lists the store and plans.
func (r *importRun) compare(ctx context.Context, s *session, src *importSource) (*importPlan, error) {
	types, err := s.schema.LoadOrder()
	if err != nil {
		return nil, err
	}
	listings, err := s.store.ListTypes(ctx, types)
	if err != nil {
		return nil, err
	}
	plan := &importPlan{unknown: src.unknown}
	offers := make(map[*objects.Type][]offer)
	for _, o := range src.offers {
		offers[o.object.Type] = append(offers[o.object.Type], o)
	}
	for i, t := range types {
		warnStray(r.env, t, listings[i].Stray)
		plan.parts = append(plan.parts, r.part(t, offers[t], listings[i].Objects))
	}
	return plan, nil
}

// part compares one type's objects.
func (r *importRun) part(t *objects.Type, offers []offer, list []objects.Object) *importPart {
	p := &importPart{t: t}
	live := make(map[objects.Key]objects.Object, len(list))
	for _, o := range list {
		live[o.Key] = o
	}
	for _, offer := range offers {
		here, exists := live[offer.object.Key]
		delete(live, offer.object.Key)
		if err := offer.usable(); err != nil {
			p.unusable = append(p.unusable, err)
			continue
		}
		m := state.Mutation{Verb: state.Replace, Object: offer.object, Raw: offer.object.Raw}
		m.Object.Raw = nil
		if !exists {
			p.create = append(p.create, m)
			continue
		}
		m.Object = here
		diffs, err := objects.Compare(here.Raw, m.Raw)
		switch {
		case err == nil && len(diffs) == 0:
			p.same++
		case r.overwrite:
			p.overwrite = append(p.overwrite, m)
		default:
			p.different = append(p.different, m)
		}
	}
	for _, o := range list {
		if _, left := live[o.Key]; left {
			p.extra = append(p.extra, o)
		}
	}
	return p
}

// maxObject is how large a value may be. A change carries it three times: what
// was, what is, and the object itself, in 1.5 MiB.
const maxObject = 450 << 10

// usable says why an object cannot be brought in.
func (o offer) usable() error {
	if o.err != nil {
		return fmt.Errorf("%s: %w", named(o.object), o.err)
	}
	if err := o.object.Check(); err != nil {
		return err
	}
	if _, ok := o.object.Type.Field("weight"); ok {
		if w, _ := o.object.Value("weight"); negative(w) { // as nobody may set it here
			return fmt.Errorf("%s: field weight: %v is negative", named(o.object), w)
		}
	}
	if n := len(o.object.Raw); n > maxObject {
		return fmt.Errorf("%s: %d KiB are more than a change can carry", named(o.object), n>>10)
	}
	return nil
}

func negative(v any) bool {
	n, ok := v.(int)
	return ok && n < 0
}

// named is an object in a message.
func named(o objects.Object) string { return o.Type.Name + " " + shownKey(o.Key.String()) }

// shownKey is a key in a message, on one line whatever it holds.
func shownKey(key string) string {
	if !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(key)
	}
	return key
}

// mutations are what is to be done, in the order of the types.
func (p *importPlan) mutations() (muts []state.Mutation) {
	for _, part := range p.parts {
		muts = append(append(muts, part.create...), part.overwrite...)
	}
	return muts
}

// wanting tells whether something of the source will not be here.
func (p *importPlan) wanting(r *importRun) bool {
	for _, part := range p.parts {
		if len(part.different)+len(part.unusable) > 0 {
			return true
		}
	}
	return len(p.unknown) > 0 && !r.skipUnknown
}

// alike tells whether both have the same objects already.
func (p *importPlan) alike() bool {
	for _, part := range p.parts {
		if len(part.create)+len(part.overwrite)+len(part.extra) > 0 {
			return false
		}
	}
	return true
}

// complain names on stderr what is left out or left as it is.
func (p *importPlan) complain(r *importRun) {
	say := func(err error) { fmt.Fprintf(r.env.Stderr, "confctl: %v\n", oneLine{err}) }
	for keys := p.unknown; len(keys) > 0; {
		n := 1
		for n < len(keys) && keys[n].where == keys[0].where && keys[n].what == keys[0].what {
			n++
		}
		say(errors.New(strayLine(keys[:n], r.dryRun) + ": left out"))
		keys = keys[n:]
	}
	for _, part := range p.parts {
		for _, err := range part.unusable {
			say(fmt.Errorf("%w: left out", err))
		}
		for _, m := range part.different {
			say(fmt.Errorf("%s: %s: left as it is without --overwrite", named(m.Object), hereAndThere(m)))
		}
	}
}

// strayLine names keys of one kind: all of them, or the first few.
func strayLine(keys []strayKey, all bool) string {
	const most = 3
	var names []string
	for i, k := range keys {
		if i == most && !all {
			names = append(names, "… (--dry-run names all)")
			break
		}
		names = append(names, shownKey(k.key))
	}
	return fmt.Sprintf("%s: %d keys %s: %s", shownKey(keys[0].where), len(keys), keys[0].what, strings.Join(names, ", "))
}

// hereAndThere says in which fields an object differs.
func hereAndThere(m state.Mutation) string {
	diffs, err := objects.Compare(m.Object.Raw, m.Raw)
	if err != nil {
		return err.Error() + " here"
	}
	var parts []string
	for _, d := range diffs {
		parts = append(parts, fmt.Sprintf("%s is %s here, %s there", d.Field, brief(d.Old), brief(d.New)))
	}
	return strings.Join(parts, "; ")
}

// brief is a value in a message.
func brief(v any) string {
	const most = 60
	if v == nil {
		return "unset"
	}
	text := []rune(objects.Text(v))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// preview says what a run would do, object by object, and what is only here.
func (p *importPlan) preview(r *importRun) {
	for _, part := range p.parts {
		for _, m := range part.create {
			fmt.Fprintf(r.env.Stdout, "would create %s %s\n", named(m.Object), stored(m.Raw))
		}
		for _, m := range part.overwrite {
			fmt.Fprintf(r.env.Stdout, "would overwrite %s: %s\n", named(m.Object), hereAndThere(m))
		}
		for _, o := range part.extra {
			fmt.Fprintf(r.env.Stdout, "only here: %s\n", named(o))
		}
	}
}

// summarise prints one line for every type there is something of, and one for
// what is of none. Without a dry run it counts what was done.
func (p *importPlan) summarise(r *importRun, change state.Change) {
	created, overwritten := make(map[*objects.Type]int), make(map[*objects.Type]int)
	for i, m := range p.mutations() {
		switch {
		case !r.dryRun && (i >= len(change.Objects) || !change.Objects[i].Changed):
		case m.Object.Revision == 0:
			created[m.Object.Type]++
		default:
			overwritten[m.Object.Type]++
		}
	}
	format := "%s: %d created, %d overwritten, %d the same, %d different, %d unusable, %d only here\n"
	if r.dryRun {
		format = "%s: %d to create, %d to overwrite, %d the same, %d different, %d unusable, %d only here\n"
	}
	for _, part := range p.parts {
		if len(part.create)+len(part.overwrite)+part.same+len(part.different)+len(part.unusable)+len(part.extra) > 0 {
			fmt.Fprintf(r.env.Stdout, format, part.t.Name, created[part.t], overwritten[part.t], part.same, len(part.different), len(part.unusable), len(part.extra))
		}
	}
	if n := len(p.unknown); n > 0 {
		fmt.Fprintf(r.env.Stdout, "of no type: %d\n", n)
	}
}
