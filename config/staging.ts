import type { SettingsInput } from './schema';

/** As production, on one GPU, with a certificate that only tests trust. */
export const staging: SettingsInput = {
  environment: 'staging',
  namespace: 'orfeas-staging',
  host: 'staging.studio.example.com',
  images: { registry: 'registry.example.com/orfeas', version: '0.1.0' },
  edge: { dialect: 'traefik', certificate: { source: 'lets-encrypt', email: 'operator@example.com', server: 'staging' } },
};
