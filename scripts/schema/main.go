// schema takes the facts of the Kubernetes API definitions (names, numbers, types, markers: no sentences) over into the
// tables of src/api/schema. Run by scripts/schema/regen when Kubernetes moves on.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// target is one table file.
type target struct {
	file    string // core_v1
	group   string // "" for core
	version string
	module  string
	dir     string // inside the module; its import path is module/dir
	openapi string // prefix of the OpenAPI names
}

var targets = []target{
	{"meta_v1", "meta.k8s.io", "v1", "k8s.io/apimachinery", "pkg/apis/meta/v1", "io.k8s.apimachinery.pkg.apis.meta.v1"},
	{"core_v1", "", "v1", "k8s.io/api", "core/v1", "io.k8s.api.core.v1"},
	{"admission_v1", "admission.k8s.io", "v1", "k8s.io/api", "admission/v1", "io.k8s.api.admission.v1"},
	{"admissionregistration_v1", "admissionregistration.k8s.io", "v1", "k8s.io/api", "admissionregistration/v1", "io.k8s.api.admissionregistration.v1"},
	{"apidiscovery_v2", "apidiscovery.k8s.io", "v2", "k8s.io/api", "apidiscovery/v2", "io.k8s.api.apidiscovery.v2"},
	{"apiextensions_v1", "apiextensions.k8s.io", "v1", "k8s.io/apiextensions-apiserver", "pkg/apis/apiextensions/v1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"},
	{"apiregistration_v1", "apiregistration.k8s.io", "v1", "k8s.io/kube-aggregator", "pkg/apis/apiregistration/v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1"},
	{"apps_v1", "apps", "v1", "k8s.io/api", "apps/v1", "io.k8s.api.apps.v1"},
	{"authentication_v1", "authentication.k8s.io", "v1", "k8s.io/api", "authentication/v1", "io.k8s.api.authentication.v1"},
	{"authorization_v1", "authorization.k8s.io", "v1", "k8s.io/api", "authorization/v1", "io.k8s.api.authorization.v1"},
	{"autoscaling_v1", "autoscaling", "v1", "k8s.io/api", "autoscaling/v1", "io.k8s.api.autoscaling.v1"},
	{"autoscaling_v2", "autoscaling", "v2", "k8s.io/api", "autoscaling/v2", "io.k8s.api.autoscaling.v2"},
	{"batch_v1", "batch", "v1", "k8s.io/api", "batch/v1", "io.k8s.api.batch.v1"},
	{"certificates_v1", "certificates.k8s.io", "v1", "k8s.io/api", "certificates/v1", "io.k8s.api.certificates.v1"},
	{"coordination_v1", "coordination.k8s.io", "v1", "k8s.io/api", "coordination/v1", "io.k8s.api.coordination.v1"},
	{"discovery_v1", "discovery.k8s.io", "v1", "k8s.io/api", "discovery/v1", "io.k8s.api.discovery.v1"},
	{"events_v1", "events.k8s.io", "v1", "k8s.io/api", "events/v1", "io.k8s.api.events.v1"},
	{"flowcontrol_v1", "flowcontrol.apiserver.k8s.io", "v1", "k8s.io/api", "flowcontrol/v1", "io.k8s.api.flowcontrol.v1"},
	{"networking_v1", "networking.k8s.io", "v1", "k8s.io/api", "networking/v1", "io.k8s.api.networking.v1"},
	{"node_v1", "node.k8s.io", "v1", "k8s.io/api", "node/v1", "io.k8s.api.node.v1"},
	{"policy_v1", "policy", "v1", "k8s.io/api", "policy/v1", "io.k8s.api.policy.v1"},
	{"rbac_v1", "rbac.authorization.k8s.io", "v1", "k8s.io/api", "rbac/v1", "io.k8s.api.rbac.v1"},
	{"resource_v1", "resource.k8s.io", "v1", "k8s.io/api", "resource/v1", "io.k8s.api.resource.v1"},
	{"scheduling_v1", "scheduling.k8s.io", "v1", "k8s.io/api", "scheduling/v1", "io.k8s.api.scheduling.v1"},
	// Not served: Job's types reach into it.
	{"scheduling_v1alpha3", "scheduling.k8s.io", "v1alpha3", "k8s.io/api", "scheduling/v1alpha3", "io.k8s.api.scheduling.v1alpha3"},
	{"storage_v1", "storage.k8s.io", "v1", "k8s.io/api", "storage/v1", "io.k8s.api.storage.v1"},
	{"storagemigration_v1", "storagemigration.k8s.io", "v1", "k8s.io/api", "storagemigration/v1", "io.k8s.api.storagemigration.v1"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schema OUTPUT-FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	modules, err := findModules("k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator", "k8s.io/kubernetes")
	if err != nil {
		return err
	}
	loader := &loader{modules: modules, packages: map[string]*pkg{}}
	discovery, err := loadDiscovery(filepath.Join(modules["k8s.io/kubernetes"].Dir, "api/discovery/aggregated_v2.json"))
	if err != nil {
		return err
	}
	for _, t := range targets {
		p, err := loader.load(t.module + "/" + t.dir)
		if err != nil {
			return err
		}
		text, err := emit(loader, t, p, modules[t.module].Version, discovery[t.group+"/"+t.version])
		if err != nil {
			return fmt.Errorf("%s: %w", t.file, err)
		}
		if err := os.WriteFile(filepath.Join(out, t.file+".schema"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
