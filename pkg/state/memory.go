package state

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Memory is what a Patch does about the weight an object had before it was
// drained. The memory lies at NAMESPACE/sluice/drained/KEY, KEY being the
// object's full key, and is only ever written together with the object.
type Memory uint8

// What there is to do.
const (
	// Forget ends the memory where the mutation names the weight, replaces or
	// deletes the object, and lets it be elsewhere.
	Forget Memory = iota
	// Remember keeps the weight that the patch replaces by 0.
	Remember
	// Recall gives the remembered weight back where the object's is 0, and
	// ends the memory: the patch then sets the weight as well.
	Recall
)

// weightField is the field that is remembered.
const weightField = "weight"

// remembered is what is stored about one drained object.
type remembered struct {
	Weight int    `json:"weight"`
	Change string `json:"change"` // the ID of the change that took it
}

// memoryKey is where the memory of the object with that full key lies.
func (s *Store) memoryKey(key string) string { return s.own("drained") + strings.TrimPrefix(key, "/") }

// namesWeight tells whether the mutation sets the weight.
func (m Mutation) namesWeight() bool {
	return m.Verb == Patch && slices.ContainsFunc(m.Set, func(s objects.Setting) bool { return s.Field == weightField })
}

// touchesMemory tells whether the mutation may write the memory, which takes
// one operation more.
func (m Mutation) touchesMemory() bool {
	return !m.untouched && (m.namesWeight() || m.Verb == Delete || m.Verb == Replace)
}

// Recall looks up the remembered weights for those mutations whose Memory is
// Recall, and returns the mutations with the weights among their settings.
// Update does this by itself; it is for whoever wants to show the change
// first.
func (s *Store) Recall(ctx context.Context, muts []Mutation) ([]Mutation, error) {
	muts = slices.Clone(muts)
	var drained []int
	for i, m := range muts {
		if m.Memory != Recall {
			continue
		}
		muts[i].Memory = Forget
		if weight, err := m.Object.Value(weightField); err == nil && weight == 0 && !m.namesWeight() {
			drained = append(drained, i)
		}
	}
	for chunk := range slices.Chunk(drained, maxOps) {
		if err := s.recall(ctx, muts, chunk); err != nil {
			return nil, err
		}
	}
	return muts, nil
}

// recall reads the memory of the objects of those mutations, in one request.
func (s *Store) recall(ctx context.Context, muts []Mutation, which []int) error {
	ops := make([]clientv3.Op, len(which))
	for j, i := range which {
		ops[j] = clientv3.OpGet(s.memoryKey(s.key(muts[i].Object)))
	}
	resp, err := s.txn(ctx, nil, ops, nil)
	if err != nil {
		return fmt.Errorf("recall weights: %w", s.explain(ctx, err))
	}
	for j, i := range which {
		kvs := resp.Responses[j].GetResponseRange().Kvs
		if len(kvs) == 0 {
			continue
		}
		var r remembered
		if err := json.Unmarshal(kvs[0].Value, &r); err != nil || r.Weight < 0 {
			return fmt.Errorf("recall weight of %s: malformed record %s", muts[i].Object.Key, kvs[0].Key)
		}
		m := &muts[i]
		m.Set = append(slices.Clip(m.Set), objects.Setting{Field: weightField, Value: r.Weight})
		m.recalled = kvs[0].ModRevision
	}
	return nil
}

// fewObjects is up to how many objects are told to forget without asking
// whether there is a memory: they fit one transaction with both operations.
const fewObjects = maxOps / 2

// spare marks the mutations of a mass change whose objects have no memory, so
// that twice as many fit one transaction.
func (s *Store) spare(ctx context.Context, muts []Mutation) ([]Mutation, error) {
	touching := 0
	for _, m := range muts {
		if m.touchesMemory() && m.Memory == Forget {
			touching++
		}
	}
	if touching <= fewObjects {
		return muts, nil
	}
	have := make(map[string]bool)
	_, err := s.scan(ctx, s.own("drained"), 0, func(e Entry) { have[e.Key] = true }, clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("list drained objects: %w", err)
	}
	muts = slices.Clone(muts)
	for i, m := range muts {
		muts[i].untouched = m.Memory == Forget && m.recalled == 0 && !have[strings.TrimPrefix(s.key(m.Object), "/")]
	}
	return muts, nil
}

// memoryCompares returns the conditions on the memory of mutation i: a weight
// that is given back is still the one remembered.
func (d *draft) memoryCompares(i int) []clientv3.Cmp {
	if d.muts[i].recalled == 0 {
		return nil
	}
	return []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(d.store.memoryKey(d.key(i))), "=", d.muts[i].recalled)}
}

// memoryWrites returns what mutation i, which changes its object, does to the
// memory.
func (d *draft) memoryWrites(i int) []clientv3.Op {
	m, key := d.muts[i], d.store.memoryKey(d.key(i))
	if !m.touchesMemory() {
		return nil
	}
	if m.Memory == Remember {
		return d.keep(i, key)
	}
	return []clientv3.Op{clientv3.OpDelete(key)}
}

// keep stores the weight that mutation i takes, if it takes one.
func (d *draft) keep(i int, key string) []clientv3.Op {
	for _, diff := range d.outcomes[i].Diffs {
		old, ok := diff.Old.(int)
		if diff.Field != weightField || diff.New != 0 || !ok || old <= 0 {
			continue
		}
		value, _ := json.Marshal(remembered{Weight: old, Change: d.rec.ID}) // two plain fields
		return []clientv3.Op{clientv3.OpPut(key, string(value))}
	}
	return nil
}
