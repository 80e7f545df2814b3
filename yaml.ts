import { Yaml } from 'cdk8s';

/** No version of YAML takes these for anything but strings. */
const PLAIN = /^[A-Za-z][\w./-]{5,}$/;

/** What the library made of a key, and of a value that is no collection: the same ones come again and again. */
const keys = new Map<string, string>();
const scalars = new Map<unknown, string>();

function remembered<T>(known: Map<T, string>, value: T, make: () => string): string {
  if (typeof value === 'string' && PLAIN.test(value)) return value;
  const text = known.get(value) ?? make();
  known.set(value, text);
  return text;
}

const key = (name: string): string => remembered(keys, name, () => Yaml.stringify({ [name]: 0 }).slice(0, -': 0\n'.length));
const scalar = (value: unknown): string => remembered(scalars, value, () => Yaml.stringify({ k: value }).slice('k: '.length, -'\n'.length));

const isCollection = (value: unknown): value is object => typeof value === 'object' && value !== null && Object.keys(value).length > 0;

/** A value whose first line follows something, and whose other lines begin with the indent. */
function block(value: unknown, indent: string): string {
  if (!isCollection(value)) {
    const text = Array.isArray(value) ? '[]' : scalar(value);
    return text.startsWith('|') ? text.replaceAll('\n  ', `\n${indent}`) : text;
  }
  const deeper = `${indent}  `;
  const entries = Array.isArray(value)
    ? value.map(item => `- ${block(item, deeper)}`)
    : Object.entries(value).map(([name, child]) =>
        isCollection(child) ? `${key(name)}:\n${deeper}${block(child, deeper)}` : `${key(name)}: ${block(child, deeper)}`,
      );
  return entries.join(`\n${indent}`);
}

/** The same bytes as cdk8s' `Yaml.stringify`, which asks of each word of each object anew whether it has to be quoted. */
export const yaml = (documents: readonly object[]): string => documents.map(document => `${block(document, '')}\n`).join('---\n');
