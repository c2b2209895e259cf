/**
 * A worker that is a fork server: python/server.py serve, which runs each program in a forked child (Linux, macOS).
 * Time limits are kept by the server; here is only a backstop for a server that hangs.
 */
import type { Program } from '../types.ts';
import { frame } from './frames.ts';
import { PythonProcess, WorkerLost, type Hello, type Launch, type Outcome, type Worker } from './worker.ts';

const BACKSTOP_SECONDS = 30;

export class ForkServer implements Worker {
  readonly hello: Hello;
  readonly #process: PythonProcess;
  readonly #strict: boolean;
  #lost: WorkerLost | undefined;
  #answer: { resolve(outcome: Outcome): void; reject(error: Error): void } | undefined;

  private constructor(process: PythonProcess, hello: Hello, strict: boolean) {
    this.hello = hello;
    this.#process = process;
    this.#strict = strict;
    process.onFrame = ({ kind, payload }) => {
      const answer = this.#answer;
      this.#answer = undefined;
      if (kind !== 'E' || answer === undefined) this.#fail('it answered out of turn');
      else
        try {
          answer.resolve(JSON.parse(payload.toString()) as Outcome);
        } catch {
          answer.reject(new WorkerLost('its answer cannot be read'));
        }
    };
    process.onLost = (why) => {
      this.#fail(why);
    };
  }

  /** Throws WorkerLost when Python does not start. */
  static async start(launch: Launch, strict: boolean, probe: boolean): Promise<ForkServer> {
    const args = ['serve', ...(strict ? ['--strict'] : []), ...(probe ? ['--probe'] : [])];
    const process = new PythonProcess({ ...launch, args });
    return new ForkServer(process, await process.hello(), strict);
  }

  run(program: Program): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost);
        return;
      }
      const backstop = setTimeout(
        () => {
          this.#fail('it did not answer');
        },
        (program.timeLimit + BACKSTOP_SECONDS) * 1000,
      );
      this.#answer = {
        resolve(outcome) {
          clearTimeout(backstop);
          resolve(outcome);
        },
        reject(error) {
          clearTimeout(backstop);
          reject(error);
        },
      };
      for (const request of requests(program, this.#strict)) this.#process.send(request);
    });
  }

  async stop(): Promise<void> {
    const stopped = this.#process.stop();
    this.#lose('it was stopped');
    await stopped;
  }

  #fail(why: string): void {
    this.#lose(why);
    this.#process.kill();
  }

  #lose(why: string): void {
    this.#lost ??= new WorkerLost(`The Python server was lost: ${why === '' ? 'it ended' : why}.`);
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.reject(this.#lost);
  }
}

/** In strict mode the check travels in a frame of its own, which only the judge reads. */
function requests(program: Program, strict: boolean): Buffer[] {
  const { candidate, check, entryPoint, timeLimit, memoryLimit, support = '' } = program;
  const parts: object[] = strict
    ? [
        { candidate, timeLimit, memoryLimit },
        { check, entryPoint, support },
      ]
    : [{ candidate, check, timeLimit, memoryLimit }];
  return parts.map((part) => frame('J', Buffer.from(JSON.stringify(part))));
}
