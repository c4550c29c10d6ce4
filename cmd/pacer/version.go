package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what "pacer version --json" prints.
type versionInfo struct {
	Version  string `json:"version"`  // of this module; "(devel)" from a checkout
	Revision string `json:"revision"` // of the checkout; "": not known
	Go       string `json:"go"`
	Platform string `json:"platform"` // such as linux/amd64
}

func buildVersion() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  pacer version --json", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.json {
				return a.printJSON(v)
			}
			a.say("pacer %s %s, %s, %s", v.Version, v.Revision, v.Go, v.Platform)
			return nil
		},
	}
}
