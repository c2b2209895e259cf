/**
 * Where downloaded models and data sets live: one folder for everything, chosen here and nowhere else.
 * Knows nothing of what is in it.
 *
 *     models/starter-smollm2/           one folder a model, each with a `midtrain.json` (record.ts)
 *     models/hub/OWNER--NAME/COMMIT/    one folder a commit; `refs.json` beside them maps revisions to commits
 *     benchmarks/
 *     downloads/                        what is not finished
 */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * `MIDTRAIN_HOME`, or else the platform's place for caches: `$XDG_CACHE_HOME/midtrain` or `~/.cache/midtrain` on Linux,
 * `~/Library/Caches/midtrain` on macOS, `%LOCALAPPDATA%\midtrain` on Windows. Always absolute; it may not exist yet.
 */
export function cacheFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  const chosen = env['MIDTRAIN_HOME'];
  if (chosen) return resolve(chosen);
  if (platform === 'win32') return join(env['LOCALAPPDATA'] ?? join(home, 'AppData', 'Local'), 'midtrain');
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'midtrain');
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification has relative paths ignored.
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, '.cache'), 'midtrain');
}
