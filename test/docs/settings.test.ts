import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { schema } from '../../config/schema';
import { settingsReference } from '../../scripts/settings-reference';

test('docs/settings.md is what the schema says; npm run docs renews it', () => {
  expect(readFileSync(join(__dirname, '../../docs/settings.md'), 'utf8')).toBe(settingsReference());
});

test('the reference has every section of the schema', () => {
  const text = settingsReference();
  for (const section of Object.keys(schema.shape)) expect(text).toMatch(new RegExp(`^\\| \`${section}[\`.]`, 'm'));
});
