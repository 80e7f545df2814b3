import { Yaml } from 'cdk8s';
import { yaml } from '../yaml';

const strings = [
  ...[
    'plain',
    'two words',
    '',
    ' ',
    'é',
    '\u0007',
    'tab\there',
    "it's: x",
    'a #b',
    '#a',
    '|x',
    '- x',
    '[x]',
    'x:',
    '=',
    '<<',
    '~',
    '{{x}}',
  ],
  ...['yes', 'No', 'on', 'true', 'null', '123', '1.5', '0755', '0x12ab', '1e3', '12:30:45', '2001-01-01', '.inf', 'truest', 'n/a.b-c_d'],
  ...[
    'a\n',
    'a\nb',
    'a\n\n',
    '\na\n',
    ' a\nb',
    'a \nb',
    'a\n  b\n\n\nc',
    'a\n ',
    '---\nx',
    'x\n---\ny',
    '\ta\n',
    'a: |x\n',
    `${'x'.repeat(99)}\ny`,
  ],
];

test.each([...strings, null, 0, 1.5, -1, true])('%j is written as cdk8s writes it', value => {
  const name = String(value);
  const documents = [
    { k: value },
    { a: { b: value, c: [value, [value]], d: [{ e: value, f: value }] } },
    { [name]: 1, a: [{ [name]: [value] }] },
  ];
  expect(yaml(documents)).toBe(Yaml.stringify(...documents));
});

test('what is empty as well', () => {
  const documents = [{}, { a: {}, b: [], c: [{}, [], [[]]], d: { e: {} } }];
  expect(yaml(documents)).toBe(Yaml.stringify(...documents));
});
