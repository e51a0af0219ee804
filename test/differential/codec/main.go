// codec puts objects through upstream's own types and encoders, for test/api/roundtrip_test.cpp to compare with.
//
// With -in FILE it reads lines of {"apiVersion","kind","name","in"}, `in` being the text of an object (generate.py makes
// them), and adds to each what upstream makes of it (see Line). With -out FOLDER it writes objects of every kind, filled at
// random, as NAME.json, NAME.pb and NAME.cbor side by side; the seed makes a run repeatable.
package main

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/randfill"
)

func main() {
	in := flag.String("in", "", "file of objects to put through")
	out := flag.String("out", "", "folder to write to")
	count := flag.Int("count", 3, "objects of each kind")
	seed := flag.Int64("seed", 1, "of the random values")
	flag.Parse()
	all := scheme.Scheme
	err := error(nil)
	for _, add := range []func(*runtime.Scheme) error{apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, admissionv1.AddToScheme, apidiscoveryv2.AddToScheme} {
		err = errors.Join(err, add(all))
	}
	if err == nil && *in != "" {
		err = transcode(all, *in, os.Stdout)
	} else if err == nil {
		err = fill(all, *out, *count, *seed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "codec:", err)
		os.Exit(1)
	}
}

// Line is one object: `in` as it came, and what upstream's types make of it.
type Line struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	In         string `json:"in"`
	Error      string `json:"error,omitempty"`     // it can't be read
	JSON       string `json:"json,omitempty"`      // in -> JSON
	Proto      []byte `json:"proto,omitempty"`     // in -> protobuf; nothing where the kind has no such form
	FromProto  string `json:"fromProto,omitempty"` // in -> protobuf -> JSON
	FromJSON   []byte `json:"fromJson,omitempty"`  // in -> JSON -> protobuf
}

func transcode(all *runtime.Scheme, file string, to io.Writer) error {
	input, err := os.Open(file)
	if err != nil {
		return err
	}
	defer input.Close()
	lines := bufio.NewReaderSize(input, 1<<20)
	output := bufio.NewWriter(to)
	encoder := stdjson.NewEncoder(output)
	asJSON := json.NewSerializerWithOptions(json.DefaultMetaFactory, all, all, json.SerializerOptions{})
	asProto := protobuf.NewSerializer(all, all)
	for {
		text, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) == 0 {
			if err != nil {
				return output.Flush()
			}
			continue
		}
		var line Line
		if err := stdjson.Unmarshal(text, &line); err != nil {
			return err
		}
		gvk := schema.FromAPIVersionAndKind(line.APIVersion, line.Kind)
		if !all.Recognizes(gvk) {
			continue
		}
		put(&line, gvk, asJSON, asProto)
		if err := encoder.Encode(&line); err != nil {
			return err
		}
	}
}

func put(line *Line, gvk schema.GroupVersionKind, asJSON, asProto runtime.Serializer) {
	object, _, err := asJSON.Decode([]byte(line.In), &gvk, nil)
	if err != nil {
		line.Error = err.Error()
		return
	}
	encode := func(object runtime.Object, with runtime.Encoder) []byte {
		object.GetObjectKind().SetGroupVersionKind(gvk)
		var out bytes.Buffer
		if err := with.Encode(object, &out); err != nil {
			return nil
		}
		return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	}
	text := encode(object, asJSON)
	line.JSON = string(text)
	var proto bytes.Buffer
	object.GetObjectKind().SetGroupVersionKind(gvk)
	if err := asProto.Encode(object, &proto); err != nil {
		return
	}
	line.Proto = proto.Bytes()
	if again, _, err := asProto.Decode(line.Proto, &gvk, nil); err == nil {
		line.FromProto = string(encode(again, asJSON))
	} else {
		line.Error = "protobuf: " + err.Error()
	}
	if again, _, err := asJSON.Decode(text, &gvk, nil); err == nil {
		again.GetObjectKind().SetGroupVersionKind(gvk)
		var out bytes.Buffer
		if asProto.Encode(again, &out) == nil {
			line.FromJSON = out.Bytes()
		}
	}
}

func fill(all *runtime.Scheme, out string, count int, seed int64) error {
	codecs := serializer.NewCodecFactory(all)
	values := func(codecs serializer.CodecFactory) []interface{} {
		return []interface{}{
			func(e *runtime.RawExtension, c randfill.Continue) { e.Raw = []byte(`{"a":"b","n":[1,2.5,true]}`) },
			func(e *runtime.Object, c randfill.Continue) {},
			func(j *apiextensionsv1.JSON, c randfill.Continue) { j.Raw = []byte(`{"x":"y"}`) },
			func(s *apiextensionsv1.JSONSchemaPropsOrBool, c randfill.Continue) { s.Allows = c.Bool() },
			func(s *apiextensionsv1.JSONSchemaPropsOrArray, c randfill.Continue) {
				s.Schema = &apiextensionsv1.JSONSchemaProps{Type: "string"}
			},
			func(s *apiextensionsv1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
				s.Property = []string{"a", "b"}
			},
			func(s *apiextensionsv1.JSONSchemaProps, c randfill.Continue) {
				s.Type, s.Pattern = "object", "<&>"
				s.Properties = map[string]apiextensionsv1.JSONSchemaProps{"b": {Type: "integer"}, "a": {XPreserveUnknownFields: new(bool)}}
			},
		}
	}
	filler := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(genericfuzzer.Funcs, values), rand.NewSource(seed), codecs)
	asJSON := json.NewSerializerWithOptions(json.DefaultMetaFactory, all, all, json.SerializerOptions{})
	asProto := protobuf.NewSerializer(all, all)
	asCBOR := cbor.NewSerializer(all, all)
	for gvk := range all.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || strings.Contains(gvk.Version, "alpha") || strings.Contains(gvk.Version, "beta") {
			continue
		}
		if gvk.Kind == "WatchEvent" || gvk.Kind == "List" || gvk.Group == "imagepolicy.k8s.io" {
			continue
		}
		for i := 0; i < count; i++ {
			object, err := all.New(gvk)
			if err != nil {
				return err
			}
			filler.Fill(object)
			object.GetObjectKind().SetGroupVersionKind(gvk)
			clearItems(object)
			if err := write(out, gvk, i, object, asJSON, asProto, asCBOR); err != nil {
				return fmt.Errorf("%s: %w", gvk, err)
			}
		}
	}
	return nil
}

// clearItems: JSON's and protobuf's form of a kind inside a list's items differ, the latter has none.
func clearItems(object runtime.Object) {
	if list, ok := object.(*metav1.PartialObjectMetadataList); ok {
		for i := range list.Items {
			list.Items[i].TypeMeta = metav1.TypeMeta{}
		}
	}
}

func write(out string, gvk schema.GroupVersionKind, i int, object runtime.Object, asJSON, asProto, asCBOR runtime.Encoder) error {
	// Once through each: what only one of them can tell apart (empty and absent lists, or bytes) is gone then.
	var once bytes.Buffer
	if err := asProto.Encode(object, &once); err != nil {
		return nil // no protobuf form
	}
	decoder, _ := asProto.(runtime.Decoder)
	object, _, err := decoder.Decode(once.Bytes(), &gvk, nil)
	if err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
	var again bytes.Buffer
	if err := asJSON.Encode(object, &again); err != nil {
		return err
	}
	object, _, err = asJSON.(runtime.Decoder).Decode(again.Bytes(), &gvk, nil)
	if err != nil {
		return err
	}
	var text, proto, binary bytes.Buffer
	if err := asJSON.Encode(object, &text); err != nil {
		return err
	}
	if err := asProto.Encode(object, &proto); err != nil {
		return err
	}
	if err := asCBOR.Encode(object, &binary); err != nil {
		return err
	}
	group := gvk.Group
	if group == "" {
		group = "core"
	}
	base := filepath.Join(out, fmt.Sprintf("%s.%s.%s.%d", group, gvk.Version, gvk.Kind, i))
	if err := os.WriteFile(base+".json", text.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(base+".cbor", binary.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".pb", proto.Bytes(), 0o644)
}
