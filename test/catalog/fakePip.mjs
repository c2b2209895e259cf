// Stands in for `python -m pip download`: takes the wheel from FAKE_PIP_WHEEL, as pip would from an index.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setInterval, setTimeout } from 'node:timers';

const {
  FAKE_PIP_WHEEL: wheel = '',
  FAKE_PIP_SAYS: says,
  FAKE_PIP_HANGS: hangs,
  FAKE_PIP_LOG: log = '',
  TMPDIR = '',
} = process.env;
const args = process.argv.slice(2);
const after = (name) => args[args.indexOf(name) + 1];
writeFileSync(log, JSON.stringify({ args, requirements: readFileSync(after('--requirement'), 'utf8') }));
if (says !== undefined) {
  console.error(says);
  process.exit(1);
}
copyFileSync(wheel, join(TMPDIR, 'partly.whl'));
if (hangs !== undefined) setInterval(() => undefined, 1000);
else {
  mkdirSync(after('--dest'), { recursive: true });
  setTimeout(() => copyFileSync(wheel, join(after('--dest'), basename(wheel))), 700); // long enough to be seen growing
}
