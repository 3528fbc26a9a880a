PHP_ARG_ENABLE([pos-connect-bridge],
  [whether to enable the bridge to the connection module],
  [AS_HELP_STRING([--enable-pos-connect-bridge], [Enable the bridge to the connection module])])

if test "$PHP_POS_CONNECT_BRIDGE" != "no"; then
  PHP_CHECK_LIBRARY(dl, dlopen, [PHP_ADD_LIBRARY(dl,, POS_CONNECT_BRIDGE_SHARED_LIBADD)])
  PHP_SUBST(POS_CONNECT_BRIDGE_SHARED_LIBADD)
  PHP_NEW_EXTENSION(pos_connect_bridge, pos_connect_bridge.c, $ext_shared,, -Wall -Wextra -Wno-unused-parameter)
fi
