/** The work of reading.mjs; its header says what is measured. */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { readCode } from '../../src/midtraining/rollouts/readCode.ts';
import { openReader } from '../../src/runner/reader.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    file: { type: 'string' },
    rows: { type: 'string', default: '200,500,1000,2000' },
    threads: { type: 'string', default: '1' },
  },
});
if (values.model === undefined || values.file === undefined) {
  throw new Error('--model and --file are needed; the header of reading.mjs says what they are.');
}
const rows = readFileSync(values.file, 'utf8').split('\n');
const { reader, model, close } = await openReader(
  { path: values.model, label: values.model },
  { device: 'cpu', precision: 'auto', threads: Number(values.threads) },
);
console.log(`${model.name}, context ${reader.pi.contextLength}, ${values.threads} threads`);
for (const latents of ['none', 'text', 'model'] as const) {
  for (const count of values.rows.split(',').map(Number)) {
    const text = rows.slice(0, count).join('\n');
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    const reading = await readCode(reader, { name: '', text, latents, threshold: 0.5, model });
    const { user, system } = process.cpuUsage(cpu);
    const seconds = (user + system) / 1e6;
    const { lines, tokens } = reading;
    console.log(
      [
        latents.padEnd(5),
        `${count} rows`.padStart(9),
        `${lines.length} lines`.padStart(10),
        `${tokens.length} tokens`.padStart(12),
        `${lines.filter(({ latent }) => latent !== null).length} latents`.padStart(11),
        `${((performance.now() - wall) / 1000).toFixed(1)} s`.padStart(8),
        `${seconds.toFixed(1)} CPU s`.padStart(11),
        `${(tokens.length / seconds).toFixed(0)} tokens a CPU s`.padStart(20),
        `${(JSON.stringify(reading).length / 1e6).toFixed(1)} MB`.padStart(8),
        `load ${loadavg()[0]!.toFixed(1)}`,
      ].join('  '),
    );
  }
}
await close();
