// Writes docs/settings.md from the schema: npm run docs
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { schema } from '../config/schema';

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The fifteen sections of the production template and their titles; what follows them is the cluster's side. */
const titles: Readonly<Record<string, string>> = {
  flask: 'Flask',
  gpu: 'GPU',
  model: 'Model',
  performance: 'Performance',
  uploads: 'Uploads',
  logging: 'Logging',
  monitoring: 'Monitoring',
  websocket: 'WebSocket',
  rateLimiting: 'Rate limiting',
  cors: 'CORS',
  redis: 'Redis',
  security: 'Security',
  secrets: 'Secrets',
  backup: 'Backup',
  features: 'Feature flags',
  rtx: 'RTX optimizations',
  images: 'Images',
  backend: 'Backend',
  web: 'Web',
  storage: 'Storage',
  network: 'Network',
  edge: 'Edge',
  gitops: 'GitOps',
};

const code = (value: unknown) => `\`${JSON.stringify(value)}\``;

function typeOf({ type, enum: values, const: constant, minimum, maximum, exclusiveMinimum, items, anyOf }: JsonSchema): string {
  if (constant !== undefined) return code(constant);
  if (values) return values.map(code).join(' or ');
  if (anyOf) return [...new Set(anyOf.map(one => typeOf(one as JsonSchema)))].join(' or ');
  if (type === 'array') return `list of ${typeOf((items ?? {}) as JsonSchema)}`;
  const bounds = [
    exclusiveMinimum !== undefined && `> ${exclusiveMinimum}`,
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `≥ ${minimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `≤ ${maximum}`,
  ].filter(Boolean);
  return [type, ...bounds].join(' ');
}

/** One row a setting; a group's own settings follow it. */
function rows(path: string, node: JsonSchema, required: boolean): string[] {
  const variants = node.oneOf as JsonSchema[] | undefined;
  if (variants) return [...new Set(variants.flatMap(variant => rows(path, variant, required)))];
  const { properties } = node;
  if (properties) {
    return Object.entries(properties).flatMap(([name, child]) =>
      rows(`${path}.${name}`, child as JsonSchema, (node.required ?? []).includes(name)),
    );
  }
  const initial = node.default === undefined ? (required ? 'required' : '') : code(node.default);
  return [`| \`${path}\` | ${typeOf(node)} | ${initial} | ${node.description ?? ''} |`];
}

/** The settings reference as Markdown. */
export function settingsReference(): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' });
  const table = (title: string, lines: readonly string[]) =>
    [`## ${title}`, '', '| Setting | Type | Default | Meaning |', '|---|---|---|---|', ...lines, ''].join('\n');
  const own = Object.entries(properties).filter(([name]) => !titles[name]);
  return [
    '# Settings',
    '',
    'Each environment is one file in `config/`: `local.ts`, `staging.ts`, `production.ts`. They are checked as a whole: all that is wrong is reported at',
    'once, each with its path, its value and a remedy, and nothing is written. Made from the schema in `config/schema.ts` by `npm run docs`.',
    '',
    table(
      'Environment',
      own.flatMap(([name, node]) => rows(name, node as JsonSchema, required.includes(name))),
    ),
    ...Object.entries(titles).map(([name, title]) => table(title, rows(name, properties[name] as JsonSchema, required.includes(name)))),
  ].join('\n');
}

if (process.argv[1] === __filename) writeFileSync(join(__dirname, '../docs/settings.md'), settingsReference());
