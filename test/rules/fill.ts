// Writes the rules and their tests, filled with an environment's settings, to a folder for promtool: fill.ts <folder> <environment>
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type EnvironmentName, loadSettings } from '../../config';
import { configFile } from '../../constructs/config-files';
import { ruleFiles } from '../../constructs/prometheus-rules';

const [folder, environment] = process.argv.slice(2) as [string, EnvironmentName];
const rules = ruleFiles(loadSettings(environment));
const values = Object.assign({}, ...Object.values(rules)) as Record<string, string | number>;

mkdirSync(join(folder, 'rules'), { recursive: true });
for (const [file, own] of Object.entries(rules)) writeFileSync(join(folder, 'rules', basename(file)), configFile(file, own));
for (const file of readdirSync(__dirname).filter(name => name.endsWith('.yaml'))) {
  const test = readFileSync(join(__dirname, file), 'utf8');
  writeFileSync(
    join(folder, file),
    test.replace(/\{\{(\w+)\}\}/g, (_, name: string) => String(values[name])),
  );
}
