/* A libnvidia-ml.so.1 whose machine is described by environment variables:
   STUB_INIT      code that nvmlInitWithFlags returns
   STUB_GPUS      number of GPUs (default 2); GPU i has (i + 1) * 16 GiB
   STUB_USED_MIB  memory in use on every GPU
   STUB_MIG       number of slices of GPU 0; nvmlDeviceGetMigMode is enabled there
   STUB_MEMORY    code that nvmlDeviceGetMemoryInfo returns
   STUB_HOLDER    pid of a process that holds memory of GPU 0
   STUB_HIDDEN    index of a GPU that may not be opened
   The graphics processes can only be asked for in their second version, as of an old driver.
   Compile with -DWITHOUT_COUNT to leave nvmlDeviceGetCount_v2 out, -DWITHOUT_DETAILS for the functions a reading needs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct device { int gpu; int slice; } device_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } process_t;

static device_t gpus[16], slices[8];
static int number(const char *name, int otherwise) { const char *text = getenv(name); return text ? atoi(text) : otherwise; }

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return number("STUB_INIT", 0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "stub"; }
int nvmlSystemGetDriverVersion(char *out, unsigned int n) { snprintf(out, n, "575.64"); return 0; }
#ifndef WITHOUT_COUNT
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = number("STUB_GPUS", 2); return 0; }
#endif
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, device_t **out) {
  if ((int)i == number("STUB_HIDDEN", -1)) return 4;
  gpus[i].gpu = i; gpus[i].slice = -1; *out = &gpus[i]; return 0;
}
int nvmlDeviceGetUUID(device_t *d, char *out, unsigned int n) {
  if (d->slice >= 0) snprintf(out, n, "MIG-aaaa%d", d->slice); else snprintf(out, n, "GPU-%d%d%d%d-stub", d->gpu, d->gpu, d->gpu, d->gpu);
  return 0;
}
int nvmlDeviceGetMigMode(device_t *d, unsigned int *now, unsigned int *later) {
  *now = *later = d->gpu == 0 && number("STUB_MIG", -1) >= 0; return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(device_t *d, unsigned int *n) { (void)d; *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(device_t *d, unsigned int i, device_t **out) {
  (void)d; if ((int)i >= number("STUB_MIG", 0)) return 6;
  slices[i].gpu = 0; slices[i].slice = i; *out = &slices[i]; return 0;
}
#ifndef WITHOUT_DETAILS
int nvmlDeviceGetName(device_t *d, char *out, unsigned int n) { snprintf(out, n, d->slice >= 0 ? "Stub 1g" : "Stub %d", d->gpu); return 0; }
int nvmlDeviceGetMemoryInfo(device_t *d, memory_t *m) {
  int code = number("STUB_MEMORY", 0); if (code) return code;
  m->total = (d->slice >= 0 ? 4ULL : 16ULL * (d->gpu + 1)) << 30; m->used = (unsigned long long)number("STUB_USED_MIB", 0) << 20;
  m->free = m->total - m->used; return 0;
}
int nvmlDeviceGetCudaComputeCapability(device_t *d, int *major, int *minor) { if (d->slice >= 0) return 3; *major = 9; *minor = 0; return 0; }
int nvmlDeviceGetUtilizationRates(device_t *d, utilization_t *u) { if (d->slice >= 0) return 3; u->gpu = 40; u->memory = 10; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *d, unsigned int *n, process_t *out) {
  int pid = number("STUB_HOLDER", 0); if (!pid || d->gpu != 0) { *n = 0; return 0; }
  if (!out) { *n = 1; return 7; }
  *n = 1; memset(out, 0, sizeof *out); out->pid = pid; out->used = 123456789ULL; return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v2(device_t *d, unsigned int *n, process_t *out) {
  if (d->gpu != 1) { *n = 0; return 0; }
  if (!out) { *n = 1; return 7; }
  *n = 1; memset(out, 0, sizeof *out); out->pid = 7; out->used = ~0ULL; return 0;
}
#endif
