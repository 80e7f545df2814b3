import { readFileSync } from 'node:fs';
import { ARCHITECTURE, networkReference, withNetwork } from '../../scripts/network-reference';

test('docs/architecture.md has the network as the flows say; npm run docs renews it', () => {
  const page = readFileSync(ARCHITECTURE, 'utf8');
  expect(page).toContain(networkReference());
  expect(withNetwork(page)).toBe(page);
});
