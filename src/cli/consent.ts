/**
 * Asks before something is fetched and before programs that a model wrote are run. `--yes` answers both; without it a
 * terminal is asked, anything else is refused with what to add.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { type Consent, describePlan } from '../catalog/plan.ts';
import { UserError } from '../errors.ts';
import type { SandboxLayer } from '../evaluation/types.ts';
import { allowPrograms, programsAllowed } from '../runner/programConsent.ts';
import type { Output } from './output.ts';

export interface Asker {
  readonly output: Output;
  readonly yes: boolean;
  readonly signal: AbortSignal;
  /** True when somebody sits there to answer. */
  readonly interactive: boolean;
}

export function downloadConsent(asker: Asker): Consent {
  return async (plan) => {
    if (asker.yes) {
      asker.output.note(`Fetching ${describePlan(plan)}.`);
      return true;
    }
    if (!asker.interactive) throw new UserError(`Not here yet: ${describePlan(plan)}. Add --yes to fetch it.`);
    return ask(asker, [`Not here yet: ${describePlan(plan)}.`], 'Fetch it?');
  };
}

/**
 * Asked once a machine: the answer is kept in the cache folder.
 * @throws UserError when refused, or when nobody can be asked.
 */
export async function executionConsent(asker: Asker, layers: () => Promise<readonly SandboxLayer[]>): Promise<void> {
  if (asker.yes) return;
  if (await programsAllowed()) return;
  if (!asker.interactive) {
    throw new UserError(
      'Scoring runs programs that a model wrote, in a sandbox, on this machine ("midtrain doctor" shows what the sandbox stops). Add --yes to agree.',
    );
  }
  const found = await layers();
  const lines = [
    'Scoring runs programs that a model wrote on this machine, under your account.',
    `In force here: ${
      found
        .filter(({ inForce }) => inForce)
        .map(({ name }) => name)
        .join(', ') || 'nothing'
    }.`,
    ...found.filter(({ inForce }) => !inForce).map(({ name, detail }) => `Not in force: ${name}: ${detail}`),
    'These layers stop accidents and common mischief. They are no virtual machine: for a model you do not trust use one.',
  ];
  if (!(await ask(asker, lines, 'Run them, now and in future?'))) throw new UserError('Not run, as you chose.');
  await allowPrograms();
}

async function ask(asker: Asker, lines: readonly string[], question: string): Promise<boolean> {
  asker.output.question(lines);
  // Not as a terminal: readline would keep Ctrl-C to itself.
  const reader = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    const closed = once(reader, 'close').then(() => ''); // Ctrl-D
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal: asker.signal }), closed]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    asker.signal.throwIfAborted();
    throw error;
  } finally {
    reader.close();
  }
}
