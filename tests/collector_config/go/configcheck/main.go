// Reads files of collector-config as the programs that they are for would, and says what is wrong with them.
//
//	configcheck compose FILE        by Docker Compose's own loader; prints the resolved project as YAML
//	configcheck dockerfile FILE     by BuildKit's own parser and linter; prints each instruction
//	configcheck kubernetes PATH...  files, and folders as kustomize builds them, by the API's own types: unknown and
//	                                repeated fields are refused; prints the objects
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Kinds of the API by "apiVersion kind"; a new one each time, for the decoder to fill.
var kinds = map[string]func() any{
	"apps/v1 DaemonSet":                        func() any { return &appsv1.DaemonSet{} },
	"apps/v1 Deployment":                       func() any { return &appsv1.Deployment{} },
	"apps/v1 StatefulSet":                      func() any { return &appsv1.StatefulSet{} },
	"autoscaling/v2 HorizontalPodAutoscaler":   func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"networking.k8s.io/v1 NetworkPolicy":       func() any { return &networkingv1.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":            func() any { return &policyv1.PodDisruptionBudget{} },
	"rbac.authorization.k8s.io/v1 ClusterRole": func() any { return &rbacv1.ClusterRole{} },
	"v1 ConfigMap":                             func() any { return &corev1.ConfigMap{} },
	"v1 Namespace":                             func() any { return &corev1.Namespace{} },
	"v1 Service":                               func() any { return &corev1.Service{} },
	"v1 ServiceAccount":                        func() any { return &corev1.ServiceAccount{} },
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: configcheck compose|dockerfile|kubernetes FILE...")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "compose":
		err = compose(os.Args[2])
	case "dockerfile":
		err = dockerfile(os.Args[2])
	case "kubernetes":
		for _, path := range os.Args[2:] {
			err = errors.Join(err, kubernetes(path))
		}
	default:
		err = fmt.Errorf("unknown: %s", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path})
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalYAML()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

func dockerfile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	var found []error
	lint := linter.New(&linter.Config{
		Warn: func(rule, description, url, message string, _ []parser.Range) {
			found = append(found, fmt.Errorf("%s: %s", rule, message))
		},
	})
	stages, _, err := instructions.Parse(tree.AST, lint)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		fmt.Printf("FROM %s AS %s\n", stage.BaseName, stage.Name)
		for _, command := range stage.Commands {
			fmt.Println(command)
		}
	}
	for _, warning := range tree.Warnings {
		found = append(found, errors.New(warning.Short))
	}
	return errors.Join(found...)
}

func kubernetes(path string) error {
	text, err := os.ReadFile(path)
	if info, statError := os.Stat(path); statError == nil && info.IsDir() {
		text, err = build(path)
	}
	if err != nil {
		return err
	}
	documents := yamlutil.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := object(text); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
}

// What `kubectl apply -k` would apply.
func build(folder string) ([]byte, error) {
	found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return found.AsYaml()
}

func object(text []byte) error {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(text, &head); err != nil {
		return err
	}
	name := strings.TrimSpace(head.APIVersion + " " + head.Kind)
	if name == "" {
		return nil
	}
	create, known := kinds[name]
	if !known {
		return fmt.Errorf("%s is no kind that is known here", name)
	}
	if err := yaml.UnmarshalStrict(text, create()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("---\n%s", text)
	return nil
}
