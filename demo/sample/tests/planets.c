/* Known planets: what the library computes against what has been observed. */
#include "check.h"
#include "orbit.h"

#include <math.h>

static const double GM_SUN = 1.32712440018e20;
static const double AU = 149597870700.0;
static const double DAY = 86400.0;

static const struct {
    const char *name;
    double axis_au, period_days;
} PLANETS[] = {
    {"Mercury", 0.387098, 87.969}, {"Venus", 0.723332, 224.701},  {"Earth", 1.000001, 365.256},
    {"Mars", 1.523680, 686.980},   {"Jupiter", 5.202887, 4332.59}, {"Saturn", 9.536676, 10759.22},
    {"Uranus", 19.189165, 30688.5}, {"Neptune", 30.069923, 60195.0},
};

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("\033[1mKnown planets\033[0m\n");
    for (size_t i = 0; i < sizeof PLANETS / sizeof *PLANETS; i++) {
        double days = orbit_period(PLANETS[i].axis_au * AU, GM_SUN) / DAY;
        double off = fabs(days / PLANETS[i].period_days - 1);
        check(off < 0.001, "%-8s goes around in %9.2f days, observed %9.2f (%.2f %% apart)",
              PLANETS[i].name, days, PLANETS[i].period_days, 100 * off);
    }

    double earth = 0.0167086;
    check(fabs(orbit_distance(1, earth, orbit_eccentric_anomaly(0, earth)) - 0.9832914) < 1e-9,
          "Earth is nearest to the Sun when its turn begins");
    check(fabs(orbit_eccentric_anomaly(1, 0.5) - 1.498701133517848) < 1e-14,
          "Kepler's equation for M = 1, e = 0.5 has the published solution");
    return check_failures != 0;
}
