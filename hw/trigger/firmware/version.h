/* Counts up with every change of the firmware that a user should flash. */
#ifndef VERSION_H
#define VERSION_H

#ifndef FIRMWARE_VERSION /* tests build firmware of another age */
#define FIRMWARE_VERSION 1
#endif

#endif
