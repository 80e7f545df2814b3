import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import type { Settings } from '../config/schema';
import { above, below, gauge, NO_GPU, never, now, pods, query, runbooks, stat, studio, timeSeries, unlimited } from './panels';
import { studioDashboard } from './studio-dashboard';

const GPU = '{{pod}} {{gpu}}';

/** The GPUs as NVML shows them to the worker, and as the DCGM exporter does where the cluster has one. */
export const gpu = (settings: Settings) =>
  studioDashboard('gpu', 'The GPUs that the model computes on.', `orfeas_build_info{${studio}}`)
    .withRow(new RowBuilder('Health'))
    .withPanel(
      stat('GPUs', 'That the workers see.', units.Short, unlimited)
        .noValue(NO_GPU)
        .withTarget(now(`count(orfeas_gpu_memory_total_bytes{${pods}})`)),
    )
    .withPanel(
      stat('Slowed down by heat', 'GPUs that compute more slowly until they are cooler.', units.Short, never)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuHot'))
        .withTarget(now(`sum(orfeas_gpu_throttled{${pods}})`)),
    )
    .withPanel(
      stat('Memory errors', 'That could not be corrected, since the driver was loaded.', units.Short, never)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuErrors'))
        .withTarget(now(`sum(orfeas_gpu_uncorrected_ecc_errors{${pods}})`)),
    )
    .withPanel(
      stat('Driver errors (XID)', "The last one's number, as the DCGM exporter of the cluster tells it.", units.NoUnit, never)
        .noValue('no DCGM exporter')
        .links(runbooks(settings, 'OrfeasGpuErrors'))
        .withTarget(now(`max(DCGM_FI_DEV_XID_ERRORS{${studio}})`)),
    )
    .withPanel(stat('Jobs running', 'On all GPUs together.', units.Short, unlimited).withTarget(now(`sum(orfeas_jobs_running{${pods}})`)))
    .withPanel(
      stat('Seconds a job', 'Time of work on one completed job, over the last hour.', units.Seconds, unlimited)
        .noValue('no job')
        .withTarget(now(`orfeas:gpu_seconds_per_job:rate1h{${studio}}`)),
    )
    .withRow(new RowBuilder('Memory'))
    .withPanel(
      gauge('Memory in use', 'Of that which the model may use. Jobs fail when it is all.', units.PercentUnit, below(0.8, 0.95))
        .span(8)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuMemoryHigh'))
        .withTarget(now(`orfeas:gpu_memory:share_ratio{${pods}}`, GPU)),
    )
    .withPanel(
      timeSeries('Memory', 'In use, what the model may use, and what there is.', units.BytesIEC, unlimited)
        .span(16)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuMemoryHigh'))
        .withTarget(query(`orfeas_gpu_memory_used_bytes{${pods}}`, `${GPU}: in use`))
        .withTarget(query(`orfeas_gpu_memory_limit_bytes{${pods}}`, `${GPU}: for the model`))
        .withTarget(query(`orfeas_gpu_memory_total_bytes{${pods}}`, `${GPU}: all`)),
    )
    .withRow(new RowBuilder('Work and heat'))
    .withPanel(
      timeSeries('Utilization', 'Share of time in which a GPU computes.', units.PercentUnit, unlimited)
        .max(1)
        .noValue(NO_GPU)
        .withTarget(query(`orfeas_gpu_utilization_ratio{${pods}}`, GPU)),
    )
    .withPanel(
      timeSeries('Temperature', 'And the one at which a GPU slows down.', units.Celsius, unlimited)
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuHot'))
        .withTarget(query(`orfeas_gpu_temperature_celsius{${pods}}`, GPU))
        .withTarget(query(`orfeas_gpu_temperature_limit_celsius{${pods}}`, `${GPU}: limit`)),
    )
    .withPanel(
      timeSeries('Room until it is too hot', 'Degrees below the temperature at which a GPU slows down.', units.Celsius, above(0, 5))
        .noValue(NO_GPU)
        .links(runbooks(settings, 'OrfeasGpuHot'))
        .withTarget(query(`orfeas_gpu_temperature_limit_celsius{${pods}} - on (pod, gpu) orfeas_gpu_temperature_celsius{${pods}}`, GPU)),
    )
    .withPanel(
      timeSeries('Power', 'That a GPU draws.', units.Watt, unlimited)
        .noValue(NO_GPU)
        .withTarget(query(`orfeas_gpu_power_watts{${pods}}`, GPU)),
    );
