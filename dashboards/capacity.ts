import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import type { Settings } from '../config/schema';
import { above, below, gauge, NO_GPU, now, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

const HOUR_SECONDS = 3600;

/** What a job costs, how many more there is room for, and how long the volumes last. */
export const capacity = (settings: Settings) =>
  studioDashboard('capacity', 'What a job costs, how many more there is room for, and how long the volumes last.')
    .withRow(new RowBuilder('Cost of a job'))
    .withPanel(
      stat(
        'GPU seconds a job',
        'Time of work on one completed job, over the last hour. Without a GPU it is the time of the CPU engine.',
        units.Seconds,
        below(settings.monitoring.serviceLevel.jobLatency.seconds, settings.model.jobTimeoutSeconds),
      )
        .span(6)
        .noValue('no job')
        .links(runbooks(settings, 'OrfeasJobLatencyBurn'))
        .withTarget(now(`orfeas:gpu_seconds_per_job:rate1h{${studio}}`)),
    )
    .withPanel(
      stat('Jobs per GPU hour', 'Completed now, for each GPU that the studio holds, idle or not.', units.Short, unlimited)
        .span(6)
        .noValue(NO_GPU)
        .withTarget(
          now(`${HOUR_SECONDS} * sum(orfeas:jobs_completed:rate5m{${studio}}) / count(orfeas_gpu_memory_total_bytes{${studio}})`),
        ),
    )
    .withPanel(
      stat('Energy a job', "The GPUs' power over the jobs that they complete, idle time included.", units.WattHour, unlimited)
        .span(6)
        .noValue(NO_GPU)
        .withTarget(now(`sum(orfeas_gpu_power_watts{${studio}}) / (${HOUR_SECONDS} * sum(orfeas:jobs_completed:rate5m{${studio}}) > 0)`)),
    )
    .withPanel(
      stat('Size of a model', 'Mean of those finished in the time range.', units.BytesIEC, unlimited)
        .span(6)
        .noValue('no job')
        .withTarget(
          now(
            `sum(increase(orfeas_output_size_bytes_sum{${studio}}[$__range])) / sum(increase(orfeas_output_size_bytes_count{${studio}}[$__range]))`,
          ),
        ),
    )
    .withPanel(
      timeSeries('GPU seconds a job', 'Time of work on one completed job, over an hour.', units.Seconds, unlimited).withTarget(
        query(`orfeas:gpu_seconds_per_job:rate1h{${studio}}`, 'seconds'),
      ),
    )
    .withPanel(
      timeSeries('Jobs an hour', 'Completed, and possible with all slots busy at the present time of a job.', units.Short, unlimited)
        .withTarget(query(`${HOUR_SECONDS} * orfeas:jobs_completed:rate5m{${studio}}`, 'completed'))
        .withTarget(
          query(
            `${HOUR_SECONDS} * sum by (namespace) (orfeas_job_slots{${studio}}) / on (namespace) (orfeas:gpu_seconds_per_job:rate1h{${studio}} > 0)`,
            'possible',
          ),
        ),
    )
    .withRow(new RowBuilder('Waiting against slots'))
    .withPanel(
      timeSeries(
        'Waiting time',
        'Within which 95 of 100 jobs are begun. More slots, or GPUs, shorten it.',
        units.Seconds,
        below(settings.monitoring.serviceLevel.queueWait.seconds, 2 * settings.monitoring.serviceLevel.queueWait.seconds),
      )
        .links(runbooks(settings, 'OrfeasQueueWaitBurn', 'OrfeasOldestJobTooOld'))
        .withTarget(query(`orfeas:queue_wait_seconds:p95{${studio}}`, '95 of 100')),
    )
    .withPanel(
      timeSeries('Slots in use', 'Share of the jobs that can be worked on at once.', units.PercentUnit, unlimited)
        .max(1)
        .links(runbooks(settings, 'OrfeasQueueGrowing'))
        .withTarget(query(`sum(orfeas_jobs_running{${studio}}) / sum(orfeas_job_slots{${studio}})`, 'in use')),
    )
    .withRow(new RowBuilder('Volumes'))
    .withPanel(
      gauge('In use', 'Share of each volume that is full.', units.PercentUnit, below(0.9, 0.95))
        .links(runbooks(settings, 'OrfeasVolumeNearlyFull'))
        .withTarget(now(`orfeas:volume_used:ratio{${studio}}`, '{{volume}}')),
    )
    .withPanel(
      timeSeries('Free in a day', 'As the last 6 hours predict it. Below 0 the volume is full before.', units.BytesIEC, above(0, 2 ** 30))
        .links(runbooks(settings, 'OrfeasVolumeFillsSoon'))
        .withTarget(query(`predict_linear(orfeas:volume_free:bytes{${studio}}[6h], 86400)`, '{{volume}}')),
    )
    .withPanel(
      timeSeries('Free', 'On each volume.', units.BytesIEC, unlimited)
        .links(runbooks(settings, 'OrfeasVolumeNearlyFull', 'OrfeasVolumeFillsSoon'))
        .withTarget(query(`orfeas:volume_free:bytes{${studio}}`, '{{volume}}')),
    )
    .withPanel(
      timeSeries('Models written', 'Bytes a day at the present pace.', units.BytesIEC, unlimited).withTarget(
        query(`86400 * sum(rate(orfeas_output_size_bytes_sum{${studio}}[1h]))`, 'a day'),
      ),
    )
    .withRow(new RowBuilder('Processes'))
    .withPanel(
      timeSeries('Memory', "Resident, of the backend's processes, of Redis, and of the monitoring.", units.BytesIEC, unlimited)
        .withTarget(query(`sum by (process) (orfeas_process_resident_memory_bytes{${studio}})`, 'backend: {{process}}'))
        .withTarget(query(`sum(redis_memory_used_rss_bytes{${studio}})`, 'redis'))
        .withTarget(query(`sum by (job) (process_resident_memory_bytes{${studio},job=~"prometheus|grafana"})`, '{{job}}')),
    )
    .withPanel(
      timeSeries('CPU', "Cores, of the backend's processes and of the monitoring.", units.Short, unlimited)
        .withTarget(query(`sum by (process) (rate(orfeas_process_cpu_seconds_total{${studio}}[$__rate_interval]))`, 'backend: {{process}}'))
        .withTarget(
          query(`sum by (job) (rate(process_cpu_seconds_total{${studio},job=~"prometheus|grafana"}[$__rate_interval]))`, '{{job}}'),
        ),
    );
