import { describe, expect, it } from 'vitest';

import { UserError } from '../../../src/errors.ts';
import type { TokenizerDefinition } from '../../../src/engine/model.ts';
import { renderChat, type ChatMessage } from '../../../src/engine/text/chatTemplate.ts';

function definition(chatTemplate: string | null): TokenizerDefinition {
  return {
    tokenizer: {},
    config: {},
    chatTemplate,
    bosToken: '<s>',
    eosToken: '</s>',
    addBos: false,
    eosTokenIds: [],
  };
}

const messages: readonly ChatMessage[] = [{ role: 'user', content: 'Add *two* numbers.\n' }];
const prompt = { addGenerationPrompt: true };

function render(template: string, options: Parameters<typeof renderChat>[2] = prompt): string {
  return renderChat(definition(template), messages, options);
}

/** SmolLM2's. */
const chatMl =
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

describe('renderChat', () => {
  it("renders SmolLM2's template with its default system message, and the answer's beginning", () => {
    expect(render(chatMl, { addGenerationPrompt: true, prefill: '```python\n' })).toBe(
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' +
        '<|im_start|>user\nAdd *two* numbers.\n<|im_end|>\n<|im_start|>assistant\n```python\n',
    );
    const talk: ChatMessage[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: '1+1?' },
      { role: 'assistant', content: '2' },
    ];
    expect(renderChat(definition(chatMl), talk, { addGenerationPrompt: false })).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n',
    );
  });

  it('gives templates what Hugging Face gives them', () => {
    const template = `{{- bos_token }}
{%- if tools is not none %}tools{% endif %}
{%- set ns = namespace(n=0) %}
{%- for m in messages %}
    {%- set ns.n = ns.n + 1 %}
    {{- '[' ~ m.role | upper ~ '] ' ~ m['content'] | trim ~ eos_token }}
{%- endfor %}
{{- ns.n }}{{ unk_token }}{{ range(3) | join }}{{ range(4, 0, -2) | join }}{{ messages[0] | tojson }}`;
    expect(render(template)).toBe(
      '<s>[USER] Add *two* numbers.</s>101242{"role": "user", "content": "Add *two* numbers.\\n"}',
    );
    expect(renderChat({ ...definition('{{ bos_token }}|'), bosToken: null }, messages, prompt)).toBe('|');
  });

  it('gives the date, which can be fixed', () => {
    const date = new Date(2024, 6, 4, 15, 7, 9);
    expect(render("{{ strftime_now('%d %b %Y, %A %H:%M:%S %p %I %q %%') }}", { ...prompt, date })).toBe(
      '04 Jul 2024, Thursday 15:07:09 PM 03 %q %',
    );
    expect(render("{{ strftime_now('%Y') }}")).toBe(String(new Date().getFullYear()));
  });

  it.each([
    ['no template', null, 'no chat template'],
    ['a refusal', "{{ raise_exception('Only user and model roles are supported') }}", 'Only user and model roles'],
    ['a syntax error', '{% for x in %}', 'cannot be rendered'],
    ['an unknown filter', '{{ messages | evil }}', 'cannot be rendered'],
    ['a template that is too long', ' '.repeat(2 ** 20 + 1), '1048577 characters'],
  ])('says what is wrong with %s', (_, template, message) => {
    expect(() => renderChat(definition(template), messages, prompt)).toThrow(UserError);
    expect(() => renderChat(definition(template), messages, prompt)).toThrow(message);
  });

  it.each([
    ['nested loops', '{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}'],
    ['a long range', '{{ range(1000000000) | length }}'],
    ['an endless range', '{{ range(0, 10, 0) | length }}'],
    ['endless recursion', '{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}'],
    ['deep nesting', '{{ ' + '('.repeat(100_000) + '1' + ')'.repeat(100_000) + ' }}'],
    [
      'doubling text',
      "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    ],
    [
      'doubling lists',
      '{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}',
    ],
    [
      'text that grows where nothing is evaluated',
      '{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}',
    ],
    [
      'replacing by much',
      "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(30) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}{{ ns.x }}",
    ],
  ])('ends %s', { timeout: 30_000 }, (_, template) => {
    const before = process.memoryUsage().rss;
    expect(() => render(template)).toThrow(UserError);
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 30);
    expect(render('still {{ messages | length }}')).toBe('still 1');
  });

  it('shows a template nothing of the host', () => {
    for (const template of [
      '{{ raise_exception.constructor }}',
      "{{ strftime_now['constructor'] }}",
      '{{ messages.constructor }}',
      "{{ messages[0]['__proto__'] }}",
      '{{ process }}{{ globalThis }}{{ require }}',
    ]) {
      expect(render(`[${template}]`)).toBe('[]');
    }
  });
});
