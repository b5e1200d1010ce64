# Mends building against the ROS 2 wheels from the Python registry. Does nothing on a normal ROS 2 installation.

get_filename_component(_ros_prefix "${ament_cmake_core_DIR}/../../.." ABSOLUTE)
file(GLOB _ros_wheels "${_ros_prefix}/lib/python3*/*-packages/ros_wheels_bootstrapper")

if(SKBUILD AND NOT _ros_wheels)
  message(FATAL_ERROR
    "pip builds flip_edge_msgs against the ROS 2 wheels, but CMake found ROS 2 in ${_ros_prefix}. "
    "Run pip in a shell that has not sourced a ROS 2 setup file, or build with colcon instead.")
endif()
if(NOT _ros_wheels)
  return()
endif()

# The ament tools look up resources of other packages through this; a setup file would set it, the wheels have none.
# pip builds in a prefix of its own, so there a value from the shell names something else.
if(SKBUILD OR NOT DEFINED ENV{AMENT_PREFIX_PATH})
  set(ENV{AMENT_PREFIX_PATH} "${_ros_prefix}")
endif()

function(_flip_edge_drop_paths_of_the_building_machine)
  # The wheels' Python libraries export the headers of the machine that built them; CMake stops at such a path.
  get_directory_property(targets IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      list(FILTER directories EXCLUDE REGEX "^/opt/python/cp")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
    endif()
  endforeach()
  # Ours would do the same. Nothing compiles against it.
  set_target_properties(${PROJECT_NAME}__rosidl_generator_py PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
endfunction()

# At the end of the directory, when every package has been found and every target exists.
cmake_language(DEFER CALL _flip_edge_drop_paths_of_the_building_machine)
