// The Go client at work, speaking protobuf. Where the cluster is, KUBECONFIG says.
//
//	informer follow NAMESPACE    a line of JSON for every change of ConfigMaps and Deployments that its informers tell
//	informer work NAMESPACE      everyday work; a line 'ok STEP' each, exit code 0 when all went as it should
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	openapiv2 "github.com/google/gnostic-models/openapiv2"
	openapiv3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"
)

var out sync.Mutex

func print(v any) {
	b, err := json.Marshal(v)
	must(err)
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(b))
}

func fail(format string, a ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", a...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

// wire tells what really travelled: each answer's protocol and content type.
type wire struct{ next http.RoundTripper }

func (w wire) RoundTrip(q *http.Request) (*http.Response, error) {
	r, err := w.next.RoundTrip(q)
	if err == nil {
		print(map[string]any{"wire": q.Method + " " + q.URL.Path, "watch": q.URL.Query().Get("watch") != "", "protocol": r.Proto, "type": r.Header.Get("Content-Type")})
	}
	return r, err
}

func follow(client kubernetes.Interface, namespace string) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	for kind, informer := range map[string]cache.SharedIndexInformer{
		"ConfigMap": factory.Core().V1().ConfigMaps().Informer(), "Deployment": factory.Apps().V1().Deployments().Informer()} {
		tell := func(event string, object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			print(map[string]any{"event": event, "kind": kind, "object": object})
		}
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { tell("ADDED", o) },
			UpdateFunc: func(_, o any) { tell("MODIFIED", o) },
			DeleteFunc: func(o any) { tell("DELETED", o) },
		})
		must(err)
	}
	factory.Start(nil)
	for kind, synced := range factory.WaitForCacheSync(nil) {
		if !synced {
			fail("%v did not synchronize", kind)
		}
	}
	print(map[string]any{"synced": "ConfigMap"})
	print(map[string]any{"synced": "Deployment"})
	select {}
}

func ok(step string) { fmt.Println("ok", step) }

func work(client kubernetes.Interface, ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	maps := client.CoreV1().ConfigMaps(ns)
	cm, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "go"}, Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"bin": {0, 255, 128}}}, metav1.CreateOptions{})
	must(err)
	if string(cm.BinaryData["bin"]) != "\x00\xff\x80" || cm.UID == "" {
		fail("created otherwise than asked: %v", cm)
	}
	if _, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "go"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		fail("a second create: %v", err)
	}
	if _, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not A Name"}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		fail("a bad name: %v", err)
	}
	ok("create")
	// Ten writers of one object: each write that meets another's is told of the conflict and tries again.
	var all sync.WaitGroup
	for i := range 10 {
		all.Add(1)
		go func() {
			defer all.Done()
			many := retry.DefaultRetry
			many.Steps = 50
			must(retry.RetryOnConflict(many, func() error {
				now, err := maps.Get(ctx, "go", metav1.GetOptions{})
				if err != nil {
					return err
				}
				now.Data[fmt.Sprint("w", i)] = "y"
				_, err = maps.Update(ctx, now, metav1.UpdateOptions{})
				return err
			}))
		}()
	}
	all.Wait()
	cm, err = maps.Get(ctx, "go", metav1.GetOptions{})
	must(err)
	if len(cm.Data) != 11 {
		fail("writes were lost: %v", cm.Data)
	}
	ok("update")
	cm, err = maps.Patch(ctx, "go", types.StrategicMergePatchType, []byte(`{"data":{"a":"2"}}`), metav1.PatchOptions{})
	must(err)
	cm, err = maps.Patch(ctx, "go", types.JSONPatchType, []byte(`[{"op":"test","path":"/data/a","value":"2"},{"op":"remove","path":"/data/w0"}]`), metav1.PatchOptions{})
	must(err)
	if len(cm.Data) != 10 || cm.Data["a"] != "2" {
		fail("patched otherwise than asked: %v", cm.Data)
	}
	ok("patch")
	_, err = maps.Apply(ctx, corev1apply.ConfigMap("go", ns).WithData(map[string]string{"a": "3"}), metav1.ApplyOptions{FieldManager: "other"})
	if !apierrors.IsConflict(err) {
		fail("apply over another's field: %v", err)
	}
	cm, err = maps.Apply(ctx, corev1apply.ConfigMap("go", ns).WithData(map[string]string{"a": "3"}), metav1.ApplyOptions{FieldManager: "other", Force: true})
	must(err)
	mine, err := corev1apply.ExtractConfigMap(cm, "other")
	must(err)
	if mine.Data["a"] != "3" || len(mine.Data) != 1 {
		fail("managed fields: %v", mine.Data)
	}
	ok("apply")
	for range 7 {
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Labels: map[string]string{"page": "y"}}}, metav1.CreateOptions{})
		must(err)
	}
	seen, options := 0, metav1.ListOptions{LabelSelector: "page=y", Limit: 3}
	for {
		page, err := maps.List(ctx, options)
		must(err)
		seen += len(page.Items)
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	if seen != 7 {
		fail("%d objects in the pages", seen)
	}
	must(maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page=y"}))
	ok("list")
	// A watch that starts with what is there (streaming list), up to the bookmark that says so.
	yes := true
	w, err := maps.Watch(ctx, metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true})
	must(err)
	found := false
	for e := range w.ResultChan() {
		o, isMap := e.Object.(*corev1.ConfigMap)
		if !isMap {
			fail("watch: %v", e)
		}
		found = found || o.Name == "go"
		if o.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
			break
		}
	}
	w.Stop()
	if !found {
		fail("the streaming list lacks an object that is there")
	}
	ok("watch")
	lead(ctx, client, ns)
	ok("leader election")
	for _, route := range []string{"api/v1", "apis/apps/v1", "apis/apiextensions.k8s.io/v1", "apis/apps", "version"} {
		sameOpenAPI(ctx, client, "/openapi/v3/"+route, "v3", openapiv3.ParseDocument, &openapiv3.Document{})
	}
	sameOpenAPI(ctx, client, "/openapi/v2", "v2", openapiv2.ParseDocument, &openapiv2.Document{})
	ok("OpenAPI")
	one := int64(0)
	uid := types.UID("another")
	if err = maps.Delete(ctx, "go", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}); !apierrors.IsConflict(err) {
		fail("delete with another's uid: %v", err)
	}
	must(maps.Delete(ctx, "go", metav1.DeleteOptions{GracePeriodSeconds: &one}))
	if _, err = maps.Get(ctx, "go", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		fail("get of what is gone: %v", err)
	}
	ok("delete")
}

// sameOpenAPI fails unless a document in protobuf says what gnostic reads in the same in JSON.
func sameOpenAPI[D proto.Message](ctx context.Context, client kubernetes.Interface, path, version string, parse func([]byte) (D, error), got D) {
	read := func(accept string) []byte {
		b, err := client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", accept).Do(ctx).Raw()
		must(err)
		return b
	}
	want, err := parse(read("application/json"))
	must(err)
	must(proto.Unmarshal(read("application/com.github.proto-openapi.spec."+version+".v1.0+protobuf"), got))
	for _, d := range []D{want, got} {
		plain(d.ProtoReflect())
	}
	if !proto.Equal(want, got) {
		fail("%s in protobuf: %s", path, difference(got.ProtoReflect(), want.ProtoReflect()))
	}
}

// plain writes every YAML text of a message as JSON and puts the pairs of every map in the order of their names: neither means anything.
func plain(m protoreflect.Message) {
	if m.Descriptor().Name() == "Any" {
		text := m.Descriptor().Fields().ByName("yaml")
		b, err := yaml.YAMLToJSON([]byte(m.Get(text).String()))
		must(err)
		m.Set(text, protoreflect.ValueOfString(string(b)))
		return
	}
	eachMessage(m, func(_ string, inner protoreflect.Message) { plain(inner) })
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.IsList() && f.Kind() == protoreflect.MessageKind && strings.HasPrefix(string(f.Message().Name()), "Named") {
			name := f.Message().Fields().ByName("name")
			var pairs []protoreflect.Value
			for i := range v.List().Len() {
				pairs = append(pairs, v.List().Get(i))
			}
			slices.SortFunc(pairs, func(a, b protoreflect.Value) int { return strings.Compare(a.Message().Get(name).String(), b.Message().Get(name).String()) })
			for i, p := range pairs {
				v.List().Set(i, p)
			}
		}
		return true
	})
}

func eachMessage(m protoreflect.Message, do func(string, protoreflect.Message)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				do(fmt.Sprint(f.Name(), "[", i, "]"), v.List().Get(i).Message())
			}
		default:
			do(string(f.Name()), v.Message())
		}
		return true
	})
}

// difference names the first innermost message that differs.
func difference(got, want protoreflect.Message) string {
	inner := map[string]protoreflect.Message{}
	eachMessage(got, func(name string, m protoreflect.Message) { inner[name] = m })
	where := ""
	eachMessage(want, func(name string, m protoreflect.Message) {
		if where == "" && (inner[name] == nil || !proto.Equal(inner[name].Interface(), m.Interface())) {
			where = name
			if inner[name] != nil {
				where += "." + difference(inner[name], m)
			}
		}
	})
	if where == "" {
		return fmt.Sprintf("%v, want %v", got.Interface(), want.Interface())
	}
	return where
}

// lead runs two candidates: the second leads once the first has let go.
func lead(ctx context.Context, client kubernetes.Interface, ns string) {
	leads := make(chan string, 2)
	candidate := func(name string) context.CancelFunc {
		mine, stop := context.WithCancel(ctx)
		go leaderelection.RunOrDie(mine, leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "go", Namespace: ns}, Client: client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: name}},
			LeaseDuration: 5 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 200 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leads <- name }, OnStoppedLeading: func() {}},
		})
		return stop
	}
	await := func(want string) {
		select {
		case got := <-leads:
			if got != want {
				fail("%s leads, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			fail("%s does not lead within 20 s", want)
		}
	}
	stop1 := candidate("one")
	await("one")
	stop2 := candidate("two")
	defer stop2()
	select {
	case got := <-leads:
		fail("%s leads too", got)
	case <-time.After(time.Second):
	}
	stop1()
	await("two")
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: informer follow|work NAMESPACE")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	config.QPS = 200
	config.Burst = 200
	if os.Args[1] == "follow" {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return wire{next} })
	}
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(config, "informer"))
	must(err)
	map[string]func(kubernetes.Interface, string){"follow": follow, "work": work}[os.Args[1]](client, os.Args[2])
}
