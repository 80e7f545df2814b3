import type { SettingsInput } from './schema';

/** The studio that users reach. Host, registry and e-mail address are placeholders to fill in. */
export const production: SettingsInput = {
  environment: 'production',
  namespace: 'orfeas',
  host: 'studio.example.com',
  images: { registry: 'registry.example.com/orfeas', version: '0.1.0' },
  edge: { dialect: 'traefik', certificate: { source: 'lets-encrypt', email: 'operator@example.com' } },
};
