/**
 * What the command's exit status means. Shown by `midtrain help` and kept stable: scripts rely on it.
 */
export const exitCodes = {
  ok: 0,
  /** Something a user can mend: a broken file, nothing found, no space. Also a defect of ours, which shows its log. */
  failed: 1,
  /** The command line was not understood; nothing was done. */
  usage: 2,
  /** It ran to its end, but the score is not final: at least one program met a harness error. */
  notFinal: 3,
  /** Ended by Ctrl-C or a termination signal; the same command goes on. 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `Exit status: ${exitCodes.ok} done; ${exitCodes.failed} failed, with the reason on stderr; \
${exitCodes.usage} wrong usage; ${exitCodes.notFinal} done, but the score is not final (harness errors); \
${exitCodes.interrupted} interrupted, the same command goes on.`;
