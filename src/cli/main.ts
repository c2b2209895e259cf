/**
 * Entry of the headless command.
 */
import { runCommandLine } from './command.ts';
import { exitCodes } from './exitCodes.ts';

/** A reader that went away (`midtrain models | head`) is no error. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exitCodes.ok);
}

process.stdout.on('error', ignoreClosedPipe);
process.stderr.on('error', ignoreClosedPipe);

void runCommandLine(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
  // What was written has time to leave; a handle that somebody forgot does not keep the process.
  setTimeout(() => process.exit(), 2000).unref();
});
