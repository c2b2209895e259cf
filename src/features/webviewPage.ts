/**
 * The page of a webview: its script, and a policy that lets nothing else in.
 */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';

/** @param name of the script in dist/webviews, whose element is `midtrain-NAME` */
export function drawPage(webview: vscode.Webview, extensionUri: vscode.Uri, name: string, title: string): void {
  const folder = vscode.Uri.joinPath(extensionUri, 'dist', 'webviews');
  webview.options = { enableScripts: true, localResourceRoots: [folder] };
  const nonce = randomBytes(16).toString('base64');
  const script = webview.asWebviewUri(vscode.Uri.joinPath(folder, `${name}.js`)).toString();
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'`;
  webview.html = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title.replace(/[&<]/g, (sign) => (sign === '&' ? '&amp;' : '&lt;'))}</title>
</head>
<body>
<midtrain-${name.toLowerCase()}></midtrain-${name.toLowerCase()}>
<script type="module" nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}
