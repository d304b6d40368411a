/* A library in the place of the NVIDIA driver's NVML: SIMULATED_GPUS devices that are idle and empty. Built by nvml_samples.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;
enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static unsigned count(void) {
    const char *given = getenv("SIMULATED_GPUS");
    return given ? (unsigned)atoi(given) : 8;
}
static void uuid_of(unsigned number, char *text, unsigned size) { snprintf(text, size, "GPU-%08x-0000-4000-8000-000000000000", number); }
static unsigned number_of(handle device) { return (unsigned)(size_t)device - 1; }

int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetCount_v2(unsigned *found) { *found = count(); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned number, handle *device) {
    if (number >= count()) return NOT_FOUND;
    *device = (handle)(size_t)(number + 1);
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, handle *device) {
    char own[96];
    for (unsigned number = 0; number < count(); number++) {
        uuid_of(number, own, sizeof own);
        if (!strcmp(own, uuid)) return nvmlDeviceGetHandleByIndex_v2(number, device);
    }
    return NOT_FOUND;
}
int nvmlDeviceGetName(handle device, char *text, unsigned size) { (void)device; snprintf(text, size, "NVIDIA H200"); return OK; }
int nvmlDeviceGetUUID(handle device, char *text, unsigned size) { uuid_of(number_of(device), text, size); return OK; }
int nvmlDeviceGetMemoryInfo(handle device, unsigned long long *memory) {
    (void)device;
    memory[0] = 141ull << 30; memory[1] = 141ull << 30; memory[2] = 0;
    return OK;
}
int nvmlDeviceGetMigMode(handle device, unsigned *current, unsigned *pending) { (void)device; *current = *pending = 0; return NOT_SUPPORTED; }
int nvmlDeviceGetMaxMigDeviceCount(handle device, unsigned *most) { (void)device; *most = 0; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(handle device, unsigned place, handle *part) { (void)device; (void)place; (void)part; return NOT_FOUND; }
int nvmlDeviceGetUtilizationRates(handle device, unsigned *rates) { (void)device; rates[0] = rates[1] = 0; return OK; }
int nvmlDeviceGetTotalEnergyConsumption(handle device, unsigned long long *energy) { (void)device; *energy = 0; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(handle device, unsigned *found, void *infos) { (void)device; (void)infos; *found = 0; return OK; }
