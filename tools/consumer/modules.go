package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"
)

// A release is a published module, as it would be released from a copy of the checkout.
type release struct {
	folder string // in the checkout, such as "queue"; "." is the root
	dir    string // in the copy
	path   string // such as github.com/twilio-pacer/pacer/queue
	gomod  []byte
}

// readReleases reads the modules in the folders of tree, and the version that they
// require of each other. The highest counts: a go.mod that names another version requires
// what is not there.
func readReleases(tree string, folders []string) (releases []release, version string, err error) {
	var files []*modfile.File
	paths := map[string]bool{}
	for _, folder := range folders {
		dir := filepath.Join(tree, folder)
		name := filepath.Join(dir, "go.mod")
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, "", err
		}
		f, err := modfile.Parse(name, data, nil)
		if err != nil {
			return nil, "", err
		}
		files = append(files, f)
		paths[f.Module.Mod.Path] = true
		releases = append(releases, release{folder, dir, f.Module.Mod.Path, data})
	}
	for _, f := range files {
		for _, r := range f.Require {
			if paths[r.Mod.Path] && semver.Compare(r.Mod.Version, version) > 0 {
				version = r.Mod.Version
			}
		}
	}
	if semver.Compare(version, "v0.0.0") <= 0 || semver.Prerelease(version) != "" {
		return nil, "", fmt.Errorf("the modules require %q of each other, which is never released: expected the version of a release, such as v0.1.0", version)
	}
	return releases, version, nil
}

// publish puts the module into a proxy, which is a folder of the form that
// "go help goproxy" describes.
func (r release) publish(proxy, version string) (err error) {
	path, err := module.EscapePath(r.path)
	if err != nil {
		return err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info := fmt.Sprintf(`{"Version": %q, "Time": %q}`, version, time.Now().UTC().Format(time.RFC3339))
	for name, data := range map[string]string{"list": version + "\n", version + ".info": info, version + ".mod": string(r.gomod)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return zip.CreateFromDir(f, module.Version{Path: r.path, Version: version}, r.dir)
}

// releaseOf returns which of the releases has a package: the one with the longest path.
func releaseOf(pkg string, releases []release) (of release, ok bool) {
	for _, r := range releases {
		if (pkg == r.path || strings.HasPrefix(pkg, r.path+"/")) && len(r.path) > len(of.path) {
			of, ok = r, true
		}
	}
	return of, ok
}
