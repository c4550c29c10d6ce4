//go:build race

package main

func init() { slower = 8 }
