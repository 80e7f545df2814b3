// Writes the network of docs/architecture.md from the flows: npm run docs
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildApp } from '../app';
import { loadSettings } from '../config';
import { type Flow, NetworkPolicies, portsOf } from '../constructs/network-policies';

export const ARCHITECTURE = join(__dirname, '../docs/architecture.md');

const placeNames = { edge: 'edge', anywhere: 'anywhere', dns: 'DNS', internet: 'internet', 'api-server': 'API server' } as const;

function nameOf(end: Flow['from'] | Flow['to']): string {
  if (typeof end === 'string') return placeNames[end];
  return 'namespace' in end ? `namespace ${end.namespace}` : end.name;
}

/** Production's flows as a diagram, without those to DNS, and as a table. */
export function networkReference(): string {
  const flows = NetworkPolicies.flowsOf(buildApp(loadSettings('production'))).map(flow => ({
    from: nameOf(flow.from),
    to: nameOf(flow.to),
    ports: portsOf(flow).join(', '),
    why: flow.why,
  }));
  const id = (name: string) => name.toLowerCase().replaceAll(' ', '-');
  const drawn = flows.filter(({ to }) => to !== placeNames.dns);
  const outside = Object.values(placeNames).filter(place => drawn.some(({ from, to }) => from === place || to === place));
  return [
    'Production, with its defaults. Whatever is not here is denied, in both directions.',
    '',
    '```mermaid',
    'flowchart LR',
    ...outside.map(place => `  ${id(place)}((${place}))`),
    ...drawn.map(({ from, to, ports }) => `  ${id(from)} -- ${ports} --> ${id(to)}`),
    '```',
    '',
    '| From | To | Ports | Why |',
    '|---|---|---|---|',
    ...flows.map(({ from, to, ports, why }) => `| ${from} | ${to} | ${ports} | ${why} |`),
    '',
    'Ports are TCP; DNS is UDP as well. The internet is public addresses alone: private ones and the metadata of a cloud are left out.',
  ].join('\n');
}

const MARKED = /(?<=<!-- network -->\n).*(?=<!-- \/network -->)/s;

export const withNetwork = (page: string): string => page.replace(MARKED, () => `\n${networkReference()}\n\n`);

if (process.argv[1] === __filename) writeFileSync(ARCHITECTURE, withNetwork(readFileSync(ARCHITECTURE, 'utf8')));
