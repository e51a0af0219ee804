package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

type module struct{ Path, Version, Dir string }

// findModules asks the go command, which fetches what is missing and checks it against go.sum.
func findModules(paths ...string) (map[string]module, error) {
	args := append([]string{"mod", "download", "-json"}, paths...)
	var stderr bytes.Buffer
	command := exec.Command("go", args...)
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %v: %s", err, stderr.String())
	}
	found := map[string]module{}
	decoder := json.NewDecoder(bytes.NewReader(output))
	for decoder.More() {
		var m module
		if err := decoder.Decode(&m); err != nil {
			return nil, err
		}
		found[m.Path] = m
	}
	return found, nil
}

// typeDecl is one `type` declaration, with the markers of its comment.
type typeDecl struct {
	name    string
	expr    ast.Expr
	markers markers
	order   int
	file    *ast.File
}

type pkg struct {
	path    string
	types   map[string]*typeDecl
	values  map[string][]string  // string type -> its constants, in declaration order
	consts  map[string]string    // every string constant by its name
	aliases map[string][]string  // string type -> names of other packages' constants that are its own too
	proto   map[string]protoFact // "Message.field"
}

type protoFact struct{ number, kind string }

var protoField = regexp.MustCompile(`^\s+(?:optional |repeated )?(?:map<string, ?([\w.]+)>|([\w.]+)) (\w+) = (\d+);`)

func readProto(path string) map[string]protoFact {
	facts := map[string]protoFact{}
	data, err := os.ReadFile(path)
	if err != nil {
		return facts // this package has no protobuf form
	}
	message := ""
	for _, line := range strings.Split(string(data), "\n") {
		if name, ok := strings.CutPrefix(line, "message "); ok {
			message = strings.TrimSuffix(name, " {")
		}
		if m := protoField.FindStringSubmatch(line); m != nil {
			facts[message+"."+m[3]] = protoFact{m[4], m[1] + m[2]}
		}
	}
	return facts
}

type loader struct {
	modules  map[string]module
	packages map[string]*pkg
}

func (l *loader) load(path string) (*pkg, error) {
	if p, ok := l.packages[path]; ok {
		return p, nil
	}
	dir := ""
	for _, m := range l.modules {
		if strings.HasPrefix(path, m.Path+"/") {
			dir = filepath.Join(m.Dir, strings.TrimPrefix(path, m.Path+"/"))
		}
	}
	if dir == "" {
		return nil, fmt.Errorf("package %s is in none of the modules", path)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	p := &pkg{path: path, types: map[string]*typeDecl{}, values: map[string][]string{}, aliases: map[string][]string{}, consts: map[string]string{}}
	p.proto = readProto(filepath.Join(dir, "generated.proto"))
	l.packages[path] = p
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(filepath.Base(name), "generated") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				p.add(file, g, set)
			}
		}
	}
	return p, nil
}

func (p *pkg) add(file *ast.File, g *ast.GenDecl, set *token.FileSet) {
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			d := &typeDecl{name: s.Name.Name, expr: s.Type, order: len(p.types), file: file}
			d.markers = parseMarkers(s.Doc)
			if len(g.Specs) == 1 {
				// Markers may stand in a comment of their own above the documentation.
				line := set.Position(g.Pos()).Line
				for _, c := range file.Comments {
					end := set.Position(c.End()).Line
					start := line
					if g.Doc != nil {
						start = set.Position(g.Doc.Pos()).Line
					}
					if end == start-2 {
						d.markers.addFrom(c)
					}
				}
				d.markers.addFrom(g.Doc)
			}
			p.types[d.name] = d
		case *ast.ValueSpec:
			id, typed := s.Type.(*ast.Ident)
			for i, v := range s.Values {
				of := id
				// Name = Type("text") says the type in the value.
				if call, ok := v.(*ast.CallExpr); ok && len(call.Args) == 1 && !typed {
					of, _ = call.Fun.(*ast.Ident)
					v = call.Args[0]
				}
				if elsewhere, ok := v.(*ast.SelectorExpr); ok && of != nil && g.Tok == token.CONST {
					p.aliases[of.Name] = append(p.aliases[of.Name], elsewhere.Sel.Name)
				}
				lit, ok := v.(*ast.BasicLit)
				if g.Tok != token.CONST || !ok || lit.Kind != token.STRING {
					continue
				}
				text := strings.Trim(lit.Value, "\"`")
				p.consts[s.Names[i].Name] = text
				if of != nil {
					p.values[of.Name] = append(p.values[of.Name], text)
				}
			}
		}
	}
}

// markers are the +name=value lines of a comment, in order.
type markers []marker
type marker struct{ name, value string }

func parseMarkers(doc *ast.CommentGroup) markers {
	var m markers
	m.addFrom(doc)
	return m
}

func (m *markers) addFrom(doc *ast.CommentGroup) {
	if doc == nil {
		return
	}
	for _, line := range doc.List {
		text := strings.TrimSpace(strings.TrimPrefix(line.Text, "//"))
		if !strings.HasPrefix(text, "+") {
			continue
		}
		text = strings.TrimPrefix(text, "+")
		// A validation at beta enforces as one without a stage; one at alpha does not yet.
		if strings.HasPrefix(text, "k8s:beta(") {
			if i := strings.Index(text, ")=+"); i >= 0 {
				text = text[i+3:]
			}
		}
		if strings.HasPrefix(text, "k8s:alpha(") {
			continue
		}
		name, value, _ := strings.Cut(text, "=")
		value, _, _ = strings.Cut(value, " #")
		*m = append(*m, marker{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
}

func (m markers) has(name string) bool {
	for _, e := range m {
		if e.name == name {
			return true
		}
	}
	return false
}

func (m markers) get(name string) string {
	for _, e := range m {
		if e.name == name {
			return strings.Trim(e.value, "\"`")
		}
	}
	return ""
}

func (m markers) raw(name string) string {
	for _, e := range m {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

func (m markers) all(name string) []string {
	var values []string
	for _, e := range m {
		if e.name == name {
			values = append(values, strings.Trim(e.value, "\"`"))
		}
	}
	return values
}
