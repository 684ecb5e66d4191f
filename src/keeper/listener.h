/* Listener: who has a TCP port already. */
#pragma once

#include <stdbool.h>

/* Who listens on the port, as far as we may know: "mariadbd, process 1234".  False when it cannot
 * be told. */
bool listener_find(int port, char text[128]);
