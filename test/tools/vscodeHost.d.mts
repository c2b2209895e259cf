/** The types of vscodeHost.mjs. */

/** `oldest` is the release that `engines.vscode` in package.json names. */
export type Release = 'current' | 'oldest';

/** An installed VS Code: paths, and the release as people name it. */
export interface VSCodeHost {
  readonly release: Release;
  /** Such as `1.104`. */
  readonly vscode: string;
  /** The Node that the server runs on. */
  readonly node: string;
  /** The server's first script. */
  readonly server: string;
  readonly browser: string;
}

export interface NoVSCodeHost {
  readonly reason: string;
}

export function findVSCodeHost(release: Release): VSCodeHost | NoVSCodeHost;
export function installVSCodeHost(release: Release): Promise<VSCodeHost | NoVSCodeHost>;
