package objects

// Selector picks objects of one type by their tags and name.
type Selector struct{}

// Match tells whether the selector picks the key.
func (s *Selector) Match(k Key) bool { return false }

// Prefix returns the longest "a/b/" that every key the selector can match
// begins with: "" when the first tag is not given literally.
func (s *Selector) Prefix() string { return "" }
