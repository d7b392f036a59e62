/* What must hold for every orbit, tried on random ones for as many seconds as asked for. */
#define _POSIX_C_SOURCE 199309L
#include "check.h"
#include "orbit.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static uint64_t state = 20140412;

/* xorshift64*, always from the same seed: a failure comes again. */
static double random_between(double low, double high)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    uint64_t bits = (state * 2685821657736338717ULL) >> 11;
    return low + (high - low) * ((double)bits / 9007199254740992.0);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 4;
    double start = now(), reported = start;
    double residual = 0, asymmetry = 0, drift = 0;
    unsigned long orbits = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("\033[1mProperties of random orbits\033[0m, for %g seconds\n", seconds);
    for (double t = start; t - start < seconds; t = now()) {
        for (int i = 0; i < 10000; i++, orbits++) {
            double eccentricity = random_between(0, 0.97);
            double mean = random_between(-3.1, 3.1);
            double e = orbit_eccentric_anomaly(mean, eccentricity);
            residual = fmax(residual, fabs(e - eccentricity * sin(e) - mean));
            asymmetry = fmax(asymmetry, fabs(orbit_eccentric_anomaly(-mean, eccentricity) + e));
            double later = orbit_eccentric_anomaly(mean + 2 * acos(-1), eccentricity);
            drift = fmax(drift, (1 - eccentricity) * fabs(later - e - 2 * acos(-1)));
        }
        if (t - reported >= 0.5) {
            reported = t;
            printf("  \033[36m%9lu\033[0m orbits, largest residual so far %.1e\n", orbits,
                   residual);
        }
    }
    check(residual < 1e-14, "Kepler's equation holds: residual at most %.1e", residual);
    check(asymmetry < 1e-13, "a turn is symmetric: off by at most %.1e", asymmetry);
    check(drift < 1e-13, "one turn later the place is the same: off by at most %.1e", drift);
    printf("%lu orbits in %.1f seconds\n", orbits, now() - start);
    return check_failures != 0;
}
