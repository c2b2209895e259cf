/**
 * `midtrain rollouts`: makes rollouts for the run that started it, over a channel between the two processes; it is in no
 * help text.
 */
import type { Command } from 'commander';

export function addRollouts(program: Command): void {
  program.command('rollouts', { hidden: true }).action(async () => {
    const { serveRollouts } = await import('../../runner/rolloutProcess.ts');
    await serveRollouts();
  });
}
