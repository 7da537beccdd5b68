package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
)

//go:embed style.css
var style string

//go:embed status.css
var statusStyle string

//go:embed status.html
var statusBody string

//go:embed status.js
var statusProgram string

// Document is a page: what is in it, beside the style that all have.
type Document struct {
	Title  string
	Style  string        // of this page alone, behind the common one
	Body   template.HTML // written by us, or by html/template
	Script string        // empty: the page runs nothing
}

// layout has the style and the script as they are: their hashes are in the policy.
var layout = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{{.Title}}</title>
<link rel="icon" href="{{.Icon}}">
{{.Style}}
</head>
<body>
{{.Body}}
{{.Script}}
</body>
</html>
`))

// icon is the mark: one box in front of another that is ready to be it.
const icon = "data:image/svg+xml," +
	"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E" +
	"%3Crect x='3' y='9' width='18' height='18' rx='5' fill='none' stroke='%237d8ca3' stroke-width='3'/%3E" +
	"%3Crect x='11' y='4' width='18' height='18' rx='5' fill='%230f766e'/%3E%3C/svg%3E"

// Render writes the page, and returns the policy that it is under. The policy is in the
// page as well, for one that is opened as a file.
func (d *Document) Render() (html []byte, policy string, err error) {
	css := style + d.Style
	inFile := "default-src 'none'; style-src " + hash(css) + "; img-src data:; base-uri 'none'; form-action 'none'"
	if d.Script != "" {
		inFile += "; connect-src 'self'; script-src " + hash(d.Script)
	}
	script := ""
	if d.Script != "" {
		script = "<script>" + d.Script + "</script>"
	}
	if strings.Contains(strings.ToLower(d.Script), "</script") || strings.Contains(strings.ToLower(css), "</style") {
		return nil, "", fmt.Errorf("page: %s: a script or a style that ends itself", d.Title)
	}
	var b bytes.Buffer
	err = layout.Execute(&b, struct {
		Title, Policy string
		Icon          template.URL
		Style, Body   template.HTML
		Script        template.HTML
	}{d.Title, inFile, icon, template.HTML("<style>" + css + "</style>"), d.Body, template.HTML(script)})
	if err != nil {
		return nil, "", fmt.Errorf("page: %w", err)
	}
	// Of what a page may be framed by, only a header can tell.
	return b.Bytes(), inFile + "; frame-ancestors 'none'", nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Status is the page that shows a running node.
func Status() (html []byte, policy string, err error) {
	d := Document{Title: "Understudy", Style: statusStyle, Body: template.HTML(statusBody), Script: statusProgram}
	return d.Render()
}
