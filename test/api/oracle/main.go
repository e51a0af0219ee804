// oracle writes objects of every kind, filled at random, as upstream's own encoders write them: NAME.json, NAME.pb and NAME.cbor
// side by side, for test/api/roundtrip_test.cpp to compare with. The seed makes a run repeatable.
package main

import (
	"bytes"
	"flag"
	"fmt"
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
	out := flag.String("out", "", "folder to write to")
	count := flag.Int("count", 3, "objects of each kind")
	seed := flag.Int64("seed", 1, "of the random values")
	flag.Parse()
	if err := run(*out, *count, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(out string, count int, seed int64) error {
	all := scheme.Scheme
	for _, add := range []func(*runtime.Scheme) error{apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, admissionv1.AddToScheme, apidiscoveryv2.AddToScheme} {
		if err := add(all); err != nil {
			return err
		}
	}
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
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(genericfuzzer.Funcs, values), rand.NewSource(seed), codecs)
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
			fill.Fill(object)
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
