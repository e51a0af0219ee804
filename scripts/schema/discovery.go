package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type responseKind struct{ Group, Version, Kind string }

type subFact struct {
	Subresource  string       `json:"subresource"`
	ResponseKind responseKind `json:"responseKind"`
	Verbs        []string     `json:"verbs"`
}

// kindFact is a resource as the aggregated discovery document of the release has it.
type kindFact struct {
	Resource         string       `json:"resource"`
	ResponseKind     responseKind `json:"responseKind"`
	Scope            string       `json:"scope"`
	SingularResource string       `json:"singularResource"`
	Verbs            []string     `json:"verbs"`
	ShortNames       []string     `json:"shortNames"`
	Categories       []string     `json:"categories"`
	Subresources     []subFact    `json:"subresources"`
}

func loadDiscovery(path string) (map[string][]kindFact, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document struct {
		Items []struct {
			Metadata struct{ Name string }
			Versions []struct {
				Version   string
				Resources []kindFact
			}
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	facts := map[string][]kindFact{"/v1": nil}
	for _, group := range document.Items {
		for _, version := range group.Versions {
			facts[group.Metadata.Name+"/"+version.Version] = version.Resources
		}
	}
	// The legacy group is in a document of its own.
	core, err := loadCoreDiscovery(strings.Replace(path, "aggregated_v2.json", "api__v1.json", 1))
	if err != nil {
		return nil, err
	}
	facts["/v1"] = core
	return facts, nil
}

func loadCoreDiscovery(path string) ([]kindFact, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list struct {
		Resources []struct {
			Name, SingularName, Group, Version, Kind string
			Namespaced                               bool
			Verbs, ShortNames, Categories            []string
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	var facts []kindFact
	for _, r := range list.Resources {
		version := r.Version
		if version == "" {
			version = "v1"
		}
		kind := responseKind{r.Group, version, r.Kind}
		if parent, sub, ok := strings.Cut(r.Name, "/"); ok {
			found := false
			for i := range facts {
				if facts[i].Resource == parent {
					facts[i].Subresources = append(facts[i].Subresources, subFact{sub, kind, r.Verbs})
					found = true
				}
			}
			if !found {
				return nil, fmt.Errorf("%s comes before its resource", r.Name)
			}
			continue
		}
		scope := "Cluster"
		if r.Namespaced {
			scope = "Namespaced"
		}
		facts = append(facts, kindFact{r.Name, kind, scope, r.SingularName, r.Verbs, r.ShortNames, r.Categories, nil})
	}
	return facts, nil
}

// text is the lines of the table; a body whose group is not said is of the resource's own.
func (k kindFact) text(t target) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nkind %s %s singular=%s scope=%s", k.ResponseKind.Kind, k.Resource, k.SingularResource, strings.ToLower(k.Scope))
	if len(k.ShortNames) > 0 {
		fmt.Fprintf(&b, " short=%s", strings.Join(k.ShortNames, ","))
	}
	if len(k.Categories) > 0 {
		fmt.Fprintf(&b, " categories=%s", strings.Join(k.Categories, ","))
	}
	fmt.Fprintf(&b, " verbs=%s\n", strings.Join(k.Verbs, ","))
	for _, s := range k.Subresources {
		group := s.ResponseKind.Group
		if s.ResponseKind.Version == "" {
			group, s.ResponseKind.Version = t.group, t.version
		}
		if group == "" {
			group = "core"
		}
		fmt.Fprintf(&b, "  sub %s %s/%s.%s verbs=%s\n", s.Subresource, group, s.ResponseKind.Version, s.ResponseKind.Kind, strings.Join(s.Verbs, ","))
	}
	return b.String()
}
