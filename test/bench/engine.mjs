/**
 * Decode and prefill against llama.cpp and transformers, in turns, one server each: prints tokens a CPU second, the ratios
 * of each round and their median, memory and weight scheme.
 *
 *   node test/bench/engine.mjs --model MODEL.gguf --python VENV/bin/python [--threads 1] [--rounds 3] [--peers llamacpp,transformers]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, median, start } from './sides.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    python: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    peers: { type: 'string', default: 'llamacpp,transformers' },
  },
});
const { model, python, threads } = values;
if (!model || !python) throw new Error('--model and --python are needed; the header says what they are.');
const rounds = Number(values.rounds);
const here = import.meta.dirname;
const program = await bundle('engineServer.ts');

const prefill = { op: 'prefill', tokens: 256, repeat: 2 };
const decode = (streams) => ({ op: 'decode', streams, context: 64, steps: streams === 1 ? 128 : 64 });
const comparisons = {
  llamacpp: { precision: 'auto', commands: [prefill, decode(1), decode(16), decode(32)] },
  transformers: { precision: 'fp32', commands: [prefill, decode(1), decode(16)] },
};

for (const peerName of values.peers.split(',')) {
  const { precision, commands } = comparisons[peerName];
  const script = { llamacpp: 'llamacpp.py', transformers: 'transformers_.py' }[peerName];
  const peer = await start(
    peerName,
    'ignore',
    python,
    join(here, 'peers', script),
    '--model',
    model,
    '--threads',
    threads,
  );
  const ours = await start('midtrain', 'ignore', process.execPath, program, model, precision, threads);
  for (const command of commands) {
    const what = command.op === 'prefill' ? 'prefill 256' : `decode, ${command.streams} streams`;
    const ratios = [];
    const rates = { [peerName]: [], midtrain: [] };
    let memory = {};
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? [peer, ours] : [ours, peer];
      for (const server of order) {
        const answer = await server.ask(command);
        rates[server.name].push(answer.tokens / answer.cpu_seconds);
        memory = { ...memory, [server.name]: answer.rss_mb };
      }
      ratios.push(rates.midtrain.at(-1) / rates[peerName].at(-1));
    }
    const shown = (list) => median(list).toFixed(1);
    console.log(
      `${what.padEnd(20)} ${peerName} ${shown(rates[peerName])}  midtrain ${shown(rates.midtrain)} tokens/CPU s  ` +
        `ratio ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')})  ` +
        `resident MB ${memory[peerName]} / ${memory.midtrain}`,
    );
  }
  if (peerName === 'transformers') {
    const same = { ...decode(16), return_tokens: true };
    const [theirs, own] = [(await peer.ask(same)).outputs, (await ours.ask(same)).outputs];
    const equal = theirs.filter((tokens, i) => tokens.join() === own[i].join()).length;
    console.log(`greedy tokens equal in ${equal} of ${theirs.length} streams`);
  }
  await peer.stop();
  await ours.stop();
}
