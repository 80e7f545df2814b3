import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import type { Settings } from '../config/schema';
import { always, below, never, now, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

/** The job queue, as Redis and as its clients see it. */
export const redis = (settings: Settings) =>
  studioDashboard('redis', 'The job queue, as Redis and as its clients see it.')
    .withRow(new RowBuilder('Health'))
    .withPanel(
      stat('Redis answers', 'Its exporter reaches it.', units.BoolYesNo, always)
        .links(runbooks(settings, 'OrfeasRedisDown'))
        .withTarget(now(`min(redis_up{${studio}})`)),
    )
    .withPanel(
      stat('Writes reach the disk', 'The last write to the append-only log succeeded.', units.BoolYesNo, always)
        .links(runbooks(settings, 'OrfeasRedisPersistenceFails'))
        .withTarget(now(`min(redis_aof_last_write_status{${studio}})`)),
    )
    .withPanel(
      stat('Memory in use', 'Of maxmemory.', units.PercentUnit, below(0.85, 0.95))
        .links(runbooks(settings, 'OrfeasRedisMemoryHigh'))
        .withTarget(now(`orfeas:redis_memory_used:ratio{${studio}}`)),
    )
    .withPanel(
      stat('Keys evicted', 'In the time range. Only records of finished jobs can be.', units.Short, never)
        .links(runbooks(settings, 'OrfeasRedisEvicting'))
        .withTarget(now(`sum(increase(redis_evicted_keys_total{${studio}}[$__range]))`)),
    )
    .withPanel(
      stat('Connections refused', 'In the time range, because there were too many.', units.Short, never)
        .links(runbooks(settings, 'OrfeasRedisRejectsConnections'))
        .withTarget(now(`sum(increase(redis_rejected_connections_total{${studio}}[$__range]))`)),
    )
    .withPanel(stat('Jobs waiting', 'In the queue.', units.Short, unlimited).withTarget(now(`orfeas:queue_jobs:max{${studio}}`)))
    .withRow(new RowBuilder('Memory and disk'))
    .withPanel(
      timeSeries('Memory', 'Of the data, of the process, and the limit of the data.', units.BytesIEC, unlimited)
        .links(runbooks(settings, 'OrfeasRedisMemoryHigh'))
        .withTarget(query(`redis_memory_used_bytes{${studio}}`, 'data'))
        .withTarget(query(`redis_memory_used_rss_bytes{${studio}}`, 'process'))
        .withTarget(query(`redis_memory_max_bytes{${studio}}`, 'maxmemory')),
    )
    .withPanel(
      timeSeries('Volume in use', 'Share of redis-data that is full.', units.PercentUnit, below(0.9, 0.95))
        .max(1)
        .links(runbooks(settings, 'OrfeasVolumeNearlyFull', 'OrfeasVolumeFillsSoon'))
        .withTarget(query(`orfeas:volume_used:ratio{${studio},volume="redis-data"}`, '{{volume}}')),
    )
    .withPanel(
      timeSeries('Keys', 'In the database, and those of them that expire.', units.Short, unlimited)
        .withTarget(query(`sum(redis_db_keys{${studio}})`, 'all'))
        .withTarget(query(`sum(redis_db_keys_expiring{${studio}})`, 'with an expiry')),
    )
    .withPanel(
      timeSeries('Keys that went away', 'Expired as they should, or evicted for want of memory.', units.CountsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasRedisEvicting'))
        .withTarget(query(`sum(rate(redis_expired_keys_total{${studio}}[$__rate_interval]))`, 'expired'))
        .withTarget(query(`sum(rate(redis_evicted_keys_total{${studio}}[$__rate_interval]))`, 'evicted')),
    )
    .withRow(new RowBuilder('Clients'))
    .withPanel(
      timeSeries('Connections', 'Open, and waiting for a job or a message.', units.Short, unlimited)
        .links(runbooks(settings, 'OrfeasRedisRejectsConnections'))
        .withTarget(query(`redis_connected_clients{${studio}}`, 'open'))
        .withTarget(query(`redis_blocked_clients{${studio}}`, 'waiting')),
    )
    .withPanel(
      timeSeries('Commands', 'That Redis carries out.', units.OpsPerSecond, unlimited).withTarget(
        query(`sum(rate(redis_commands_processed_total{${studio}}[$__rate_interval]))`, 'commands'),
      ),
    )
    .withPanel(
      timeSeries('Time of a command', "As the backend's processes measure it, 95 of 100.", units.Seconds, below(0.05, 0.5)).withTarget(
        query(
          `histogram_quantile(0.95, sum by (process, le) (rate(orfeas_redis_command_duration_seconds_bucket{${studio}}[$__rate_interval])))`,
          '{{process}}',
        ),
      ),
    )
    .withPanel(
      timeSeries('Failed commands', "Of the backend's processes.", units.OpsPerSecond, unlimited)
        .links(runbooks(settings, 'OrfeasRedisDown'))
        .withTarget(query(`sum by (process) (rate(orfeas_redis_errors_total{${studio}}[$__rate_interval]))`, '{{process}}')),
    );
